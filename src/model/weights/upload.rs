//! Uploads weights in sections: all cores read, check and convert one section while a thread writes the one before to
//! the device.

use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
};

use super::{
    convert::{Found, convert},
    quantize::{Target, Weighted},
};
use crate::{
    compute::{dtype::DType, memory::Buffer},
    error::Result,
};

/// Bytes per section on the device.
const SECTION: usize = 16 << 20;

/// Number of sections in memory: one in conversion, one in upload.
const SECTIONS: usize = 2;

/// Sends sections to a device.
pub(super) struct Uploader<'scope> {
    full: Option<SyncSender<Section>>,
    empty: Receiver<Vec<u8>>,
    /// A spare buffer.
    spare: Option<Vec<u8>>,
    writing: Option<Writing<'scope>>,
}

/// Who writes sections.
enum Writing<'scope> {
    /// A thread of its own.
    Beside(ScopedJoinHandle<'scope, Result<()>>),
    /// Whoever hands them over: there are no threads here.
    AtOnce { back: Sender<Vec<u8>>, outcome: Result<()> },
}

struct Section {
    buffer: Arc<Buffer>,
    at: u64,
    bytes: Vec<u8>,
}

impl Section {
    /// Writes the section to the device, and gives its vector back.
    fn write(self, back: &Sender<Vec<u8>>) -> Result<()> {
        let Self { buffer, at, bytes } = self;
        buffer.write(at, &bytes)?;
        _ = back.send(bytes);
        Ok(())
    }
}

/// Stored values, and their type on the device.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) from: DType,
    pub(super) to: DType,
    pub(super) data: &'a [u8],
}

impl<'scope> Uploader<'scope> {
    pub(super) fn new(scope: &'scope Scope<'scope, '_>) -> Self {
        if cfg!(target_family = "wasm") { Self::at_once() } else { Self::beside(scope) }
    }

    /// One that hands sections over on a thread of its own.
    fn beside(scope: &'scope Scope<'scope, '_>) -> Self {
        let (full, waiting) = sync_channel::<Section>(SECTIONS);
        let (back, empty) = vectors();
        let writing = scope.spawn(move || waiting.into_iter().try_for_each(|section| section.write(&back)));
        Self { full: Some(full), empty, spare: None, writing: Some(Writing::Beside(writing)) }
    }

    /// One that hands sections over before it makes more.
    fn at_once() -> Self {
        let (back, empty) = vectors();
        Self { full: None, empty, spare: None, writing: Some(Writing::AtOnce { back, outcome: Ok(()) }) }
    }

    /// Uploads values to byte `at` of a buffer. `done` gets the ranges of stored bytes that are no longer needed. Stops
    /// at the first section with values that do not fit.
    ///
    /// # Errors
    /// Errors of this write or of earlier ones.
    pub(super) fn upload(
        &mut self,
        values: Values<'_>,
        (buffer, mut at): (&Arc<Buffer>, u64),
        done: impl Fn(Range<usize>),
    ) -> Result<Found> {
        let Values { from, to, data } = values;
        let [read, written] = [from, to].map(|dtype| dtype.bytes() as usize);
        let step = SECTION / written * read;
        for (start, part) in (0..).step_by(step).zip(data.chunks(step)) {
            let Some(mut bytes) = self.empty() else { return self.finish().map(|()| Found::Fit) };
            bytes.resize(part.len() / read * written, 0);
            let found = convert(from, to, part, &mut bytes);
            done(start..start + part.len());
            if found != Found::Fit {
                self.spare = Some(bytes);
                return Ok(found);
            }
            let length = bytes.len() as u64;
            let section = Section { buffer: buffer.clone(), at, bytes };
            if !self.send(section) {
                return self.finish().map(|()| Found::Fit);
            }
            at += length;
        }
        Ok(Found::Fit)
    }

    /// Quantizes weights, or copies quantized ones, into rows of `target` from a first row on. `done` gets the ranges
    /// of stored bytes that are no longer needed. Stops at the first section with weights that do not fit.
    ///
    /// # Errors
    /// Errors of this write or of earlier ones.
    pub(super) fn quantize(
        &mut self,
        weights: Weighted<'_>,
        (target, mut row): (&mut Target, usize),
        done: impl Fn(Range<usize>),
    ) -> Result<Found> {
        let (rows, read, written) = (weights.rows(), weights.row_bytes(), target.planes.row[0]);
        let step = (SECTION / written).max(1);
        for start in (0..rows).step_by(step) {
            let part = start..(start + step).min(rows);
            let Some(mut codes) = self.empty() else { return self.finish().map(|()| Found::Fit) };
            codes.resize(part.len() * written, 0);
            let found = weights.convert(part.clone(), &mut codes, target.scales(row, part.len()));
            done(part.start * read..part.end * read);
            if found != Found::Fit {
                self.spare = Some(codes);
                return Ok(found);
            }
            let at = (row * written) as u64;
            row += part.len();
            if !self.send(Section { buffer: target.buffer.clone(), at, bytes: codes }) {
                return self.finish().map(|()| Found::Fit);
            }
        }
        Ok(Found::Fit)
    }

    /// Uploads the scales of a target.
    ///
    /// # Errors
    /// Errors of this write or of earlier ones.
    pub(super) fn complete(&mut self, target: Target) -> Result<()> {
        let Target { buffer, planes, words, units } = target;
        for (plane, scales) in [(1, words), (2, units)] {
            for (i, part) in scales.chunks(SECTION).enumerate() {
                let Some(mut bytes) = self.empty() else { return self.finish() };
                bytes.clear();
                bytes.extend_from_slice(part);
                let at = (planes.start[plane] + i * SECTION) as u64;
                if !self.send(Section { buffer: buffer.clone(), at, bytes }) {
                    return self.finish();
                }
            }
        }
        Ok(())
    }

    /// An empty buffer for a section. `None` after a failed write.
    fn empty(&mut self) -> Option<Vec<u8>> {
        self.spare.take().or_else(|| self.empty.recv().ok())
    }

    /// Queues or writes a section. Returns whether more sections are accepted.
    fn send(&mut self, section: Section) -> bool {
        match &mut self.writing {
            Some(Writing::AtOnce { back, outcome }) => {
                *outcome = section.write(back);
                outcome.is_ok()
            }
            _ => self.full.as_ref().is_some_and(|full| full.send(section).is_ok()),
        }
    }

    /// Waits until the device has all sections.
    ///
    /// # Errors
    /// Errors of any write.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.full = None;
        match self.writing.take() {
            Some(Writing::Beside(thread)) => thread.join().expect("writing does not panic"),
            Some(Writing::AtOnce { outcome, .. }) => outcome,
            None => Ok(()),
        }
    }
}

/// Vectors for sections, and the way back for those that were handed over.
fn vectors() -> (Sender<Vec<u8>>, Receiver<Vec<u8>>) {
    let (back, empty) = channel();
    (0..SECTIONS).for_each(|_| _ = back.send(Vec::new()));
    (back, empty)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::thread;

    use super::{Arc, Buffer, DType, Found, Uploader, Values};
    use crate::compute::{backend::Backend, cpu::Cpu};

    #[test]
    fn with_and_without_a_thread_the_same_bytes_arrive() {
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new(1));
        let floats: Vec<u8> = (0..64_u16).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        let bytes = |mut uploader: Uploader<'_>| {
            let buffer = Buffer::new(&backend, 256, "weights").unwrap();
            for (at, part) in [(0, &floats[..96]), (48, &floats[96..])] {
                let values = Values { from: DType::F32, to: DType::F16, data: part };
                assert!(matches!(uploader.upload(values, (&buffer, at), |_| {}), Ok(Found::Fit)));
            }
            uploader.finish().unwrap();
            pollster::block_on(buffer.read(0..128)).unwrap()
        };
        let wanted: Vec<u8> = (0..64).flat_map(|i| half::f16::from_f32(i as f32).to_le_bytes()).collect();
        assert_eq!(bytes(Uploader::at_once()), wanted);
        assert_eq!(thread::scope(|scope| bytes(Uploader::beside(scope))), wanted);
    }
}
