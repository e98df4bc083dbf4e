//! Downloads one file at a time: resumes after interruptions and checks the size.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    DownloadEvent,
    client::{Answer, Failure, Limit, Refusal},
    remote::{Metadata, Patience, Remote},
    snapshot::Snapshot,
};
use crate::{Error, Result};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 18;

/// Maximum number of connections for one file, so that a server of single bytes does not keep a program for ever.
const MAX_CONNECTIONS: usize = 1000;

/// How often a file is looked at that another process downloads.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

type Outcome<T> = std::result::Result<T, Failure>;

/// A file to download, and its places in the cache.
struct Transfer<'a> {
    file: &'a str,
    address: String,
    size: u64,
    /// The contents so far.
    part: PathBuf,
}

/// The contents of a file so far.
pub(super) fn partial(blob: &Path) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(".incomplete");
    name.into()
}

/// The size of a file; 0 if it is not there.
pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Whether the cache has the whole contents.
pub(super) fn is_complete(blob: &Path, size: u64) -> bool {
    fs::metadata(blob).is_ok_and(|found| found.len() == size)
}

impl Remote<'_, '_> {
    /// Downloads a file into the snapshot, unless its contents are in the cache already.
    pub fn download(&mut self, snapshot: &Snapshot, file: &str, metadata: &Metadata) -> Result<()> {
        let blob = snapshot.blob(&metadata.tag);
        if !is_complete(&blob, metadata.size) {
            let lock = self.locked(snapshot, file, metadata)?;
            // The process that held the lock may have brought the file.
            if !is_complete(&blob, metadata.size) {
                let part = partial(&blob);
                let transfer =
                    Transfer { file, address: self.address(snapshot.commit(), file), size: metadata.size, part };
                self.transfer(&transfer).map_err(|failure| self.explain(file, failure))?;
                fs::rename(&transfer.part, &blob).map_err(Error::io(&blob))?;
            }
            drop(lock);
        }
        snapshot.link(file, &blob)
    }

    /// Locks the contents of a file. Waits for another process as long as that one receives bytes.
    fn locked(&mut self, snapshot: &Snapshot, file: &str, metadata: &Metadata) -> Result<File> {
        let (path, blob) = (snapshot.lock(&metadata.tag), snapshot.blob(&metadata.tag));
        let open = || {
            for directory in [path.parent(), blob.parent()].into_iter().flatten() {
                fs::create_dir_all(directory)?;
            }
            OpenOptions::new().create(true).truncate(false).write(true).open(&path)
        };
        let lock = open().map_err(|error| self.explain(file, Failure::Local(error)))?;
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => {}
                // Some network file systems have no locks.
                Err(TryLockError::Error(_)) => return Ok(lock),
            }
            let done = length(&partial(&blob));
            if done != seen {
                (seen, since) = (done, Instant::now());
                (self.progress)(DownloadEvent::Received { file, done, total: metadata.size });
            }
            if since.elapsed() > self.options.stall_timeout {
                let why =
                    format!("another process is downloading this file (it holds {}): wait for it", path.display());
                return Err(super::explain::failed(self.spec, file, why));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Downloads the contents. Resumes after each interruption, as long as attempts bring something new.
    fn transfer(&mut self, transfer: &Transfer<'_>) -> Outcome<()> {
        let mut part = OpenOptions::new().create(true).append(true).open(&transfer.part).map_err(Failure::Local)?;
        let mut received = length(&transfer.part);
        if received >= transfer.size {
            // Whatever is there is not this file: a file that is whole does not keep this name.
            part.set_len(0).map_err(Failure::Local)?;
            received = 0;
        }
        let mut patience = Patience::new(self.options);
        for _ in 0..MAX_CONNECTIONS {
            let outcome = match transfer.size {
                0 => Ok(()),
                _ => self.attempt(transfer, &mut part, length(&transfer.part)),
            };
            let now = length(&transfer.part);
            if now > received {
                (patience, received) = (Patience::renewed(self.options), now);
            }
            let failure = match outcome {
                Ok(()) if now == transfer.size => return Ok(()),
                Ok(()) => Failure::Broken(format!("the hub promised {} bytes, and {now} came", transfer.size)),
                Err(failure) => failure,
            };
            self.pause(transfer.file, failure, &mut patience)?;
        }
        Err(Failure::Broken(format!("{MAX_CONNECTIONS} times, before the file was whole")))
    }

    /// Receives what one connection brings after the first `have` bytes.
    fn attempt(&mut self, transfer: &Transfer<'_>, part: &mut File, mut have: u64) -> Outcome<()> {
        let range = format!("bytes={have}-");
        let mut answer = self.client.get(&transfer.address, Some(&range), Limit::Bytes)?;
        match answer.status {
            206 => check_range(&answer, have, transfer.size)?,
            200 => {
                // This server sends whole files only.
                part.set_len(0).map_err(Failure::Local)?;
                have = 0;
            }
            416 if have > 0 => {
                part.set_len(0).map_err(Failure::Local)?;
                return Err(Failure::Broken(format!("the hub has nothing after byte {have}")));
            }
            _ => return Err(Failure::Refused(Refusal::of(&answer))),
        }
        let left = transfer.size - have;
        let length = answer.last("content-length").and_then(|length| length.parse::<u64>().ok());
        if let Some(length) = length.filter(|length| *length > left) {
            return Err(longer(transfer.size, have + length));
        }
        self.received(transfer, have);
        let (mut reader, mut chunk) = (answer.body.as_reader(), vec![0; CHUNK_BYTES]);
        loop {
            let count = reader.read(&mut chunk).map_err(|error| self.client.read_failure(error))?;
            if count == 0 {
                return Ok(());
            }
            if count as u64 > transfer.size - have {
                return Err(longer(transfer.size, have + count as u64));
            }
            part.write_all(&chunk[..count]).map_err(Failure::Local)?;
            have += count as u64;
            self.received(transfer, have);
        }
    }

    fn received(&mut self, transfer: &Transfer<'_>, done: u64) {
        (self.progress)(DownloadEvent::Received { file: transfer.file, done, total: transfer.size });
    }
}

/// Whether an answer continues the file where it should.
fn check_range(answer: &Answer, have: u64, size: u64) -> Outcome<()> {
    let range = answer.last("content-range").unwrap_or_default();
    let (span, total) = range.trim_start_matches("bytes").trim().split_once('/').unwrap_or_default();
    let first = span.split('-').next().and_then(|first| first.trim().parse::<u64>().ok());
    if first != Some(have) {
        return Err(Failure::Strange(format!("asked for bytes from {have}, it sends {range:?}")));
    }
    match total.trim().parse::<u64>() {
        Ok(total) if total != size => Err(Failure::Strange(format!("it promised {size} bytes, and names {total} now"))),
        _ => Ok(()),
    }
}

fn longer(size: u64, found: u64) -> Failure {
    Failure::Strange(format!("it promised {size} bytes, and sends {found} or more"))
}
