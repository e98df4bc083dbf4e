//! The driver's compiled shaders, in a cache file shared by later processes.
//!
//! A file belongs to one driver and to the shader texts of one build; its name identifies both. It holds a magic
//! number, a checksum of its name and contents, and the driver's bytes. So a driver reads only complete files of this
//! crate.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hasher},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use wgpu::{Features, PipelineCacheDescriptor};

use super::{
    device::Device,
    prelude::{FORMATS, LIBRARY},
};
use crate::compute::{kernel::fingerprint, lock::lock};

const MARK: &[u8; 8] = b"bimetal\n";

/// Bytes before the driver's bytes: the magic number and the checksum.
const HEADER: usize = MARK.len() + size_of::<u64>();

/// Far more bytes than the pipelines of all models need.
const MAX_BYTES: u64 = 1 << 28;

/// The driver's cache, and its file.
pub(super) struct PipelineCache {
    pub(super) handle: wgpu::PipelineCache,
    file: Arc<CacheFile>,
    writing: Mutex<Option<JoinHandle<()>>>,
}

struct CacheFile {
    path: PathBuf,
    /// The number of the driver's bytes in the file.
    stored: Mutex<usize>,
}

impl PipelineCache {
    /// The cache file of a device in `directory`, or an empty cache; `None` if the driver supports no cache.
    pub(super) fn open(device: &Device, directory: &Path, texts: u64) -> Option<Self> {
        if !device.handle.features().contains(Features::PIPELINE_CACHE) {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(&device.handle.adapter_info())?;
        let library = fingerprint(LIBRARY.iter().chain(FORMATS).map(|part| (part.file, part.text)));
        let path = directory.join(format!("{key}_{:016x}", texts ^ library));
        let known = read(&path).unwrap_or_else(|why| {
            match why.kind() {
                io::ErrorKind::NotFound => log::debug!("{}: no pipelines yet", path.display()),
                _ => log::info!("{}: not used for pipelines: {why}", path.display()),
            }
            Vec::new()
        });
        let handle = device.attempt("kept pipelines", || create(device, &known)).ok()?;
        log::debug!("{}: {} bytes of pipelines", path.display(), known.len());
        let file = Arc::new(CacheFile { path, stored: Mutex::new(known.len()) });
        Some(Self { handle, file, writing: Mutex::default() })
    }

    /// Rewrites the file, in the background, if the driver's cache has grown.
    pub(super) fn keep(&self) {
        let (handle, file) = (self.handle.clone(), self.file.clone());
        let writing = &mut *lock(&self.writing);
        let earlier = writing.take();
        let write = move || {
            earlier.into_iter().for_each(|earlier| drop(earlier.join()));
            file.store(handle.get_data().unwrap_or_default());
        };
        match thread::Builder::new().spawn(write) {
            Ok(thread) => *writing = Some(thread),
            Err(why) => log::info!("pipelines are not cached: {why}"),
        }
    }
}

impl Drop for PipelineCache {
    fn drop(&mut self) {
        lock(&self.writing).take().into_iter().for_each(|writing| drop(writing.join()));
    }
}

impl CacheFile {
    /// Drivers store pipelines in any order, so only a changed length shows new ones.
    fn store(&self, data: Vec<u8>) {
        let stored = &mut *lock(&self.stored);
        if data.len() == *stored {
            return;
        }
        match write(&self.path, &data) {
            Ok(()) => log::debug!("{}: wrote {} bytes of pipelines", self.path.display(), data.len()),
            Err(why) => log::info!("{}: pipelines are not cached: {why}", self.path.display()),
        }
        *stored = data.len();
    }
}

/// A driver cache with the contents of an earlier one.
#[allow(unsafe_code)]
fn create(device: &Device, known: &[u8]) -> wgpu::PipelineCache {
    let data = (!known.is_empty()).then_some(known);
    let descriptor = PipelineCacheDescriptor { label: None, data, fallback: true };
    // SAFETY: wgpu itself produced these bytes for this driver: they come from a file of this crate, whose checksum
    // covers them and the name. wgpu verifies that device and driver are unchanged.
    unsafe { device.handle.create_pipeline_cache(&descriptor) }
}

/// A checksum of a file's name and contents. Another release of the standard library may compute a different one, and
/// then rejects the file.
fn checksum(path: &Path, data: &[u8]) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    hasher.write(path.file_name().unwrap_or_default().as_encoded_bytes());
    hasher.write(data);
    hasher.finish().to_le_bytes()
}

/// Reads the driver's bytes from a file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let about = fs::metadata(path)?;
    if !about.is_file() || about.len() > MAX_BYTES {
        return Err(broken("it is not a file of a plausible size"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let whole = bytes.get(HEADER..).filter(|data| {
        let (mark, sum) = bytes[..HEADER].split_at(MARK.len());
        mark == MARK && sum == checksum(path, data)
    });
    whole.map(<[u8]>::to_vec).ok_or_else(|| broken("it is damaged or from another program"))
}

/// Writes the driver's bytes to a file, atomically.
fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(MARK)?;
    file.write_all(&checksum(path, data))?;
    file.write_all(data)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, sync::Mutex};

    use super::{CacheFile, HEADER, read, write};

    #[test]
    fn only_whole_files_under_their_own_name_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let [path, other] = ["one", "other"].map(|name| directory.path().join("new").join(name));
        assert!(read(&path).is_err());
        let data: Vec<u8> = (0..1000_u32).map(|i| (i * 7) as u8).collect();
        write(&path, &data).unwrap();
        assert_eq!(read(&path).unwrap(), data);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file remains");
        let whole = fs::read(&path).unwrap();
        fs::write(&other, &whole).unwrap();
        assert!(read(&other).is_err(), "from another driver");
        for length in (0..HEADER).chain([HEADER + 1, whole.len() - 1]) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{length} bytes");
        }
        for at in [0, MARK_END, HEADER, whole.len() - 1] {
            let mut broken = whole.clone();
            broken[at] ^= 4;
            fs::write(&path, &broken).unwrap();
            assert!(read(&path).is_err(), "byte {at}");
        }
        write(&path, &data).unwrap();
        assert_eq!(read(&path).unwrap(), data, "replaced");
        fs::create_dir(directory.path().join("directory")).unwrap();
        assert!(read(&directory.path().join("directory")).is_err());
    }

    const MARK_END: usize = super::MARK.len();

    #[test]
    fn a_file_is_written_only_when_there_is_more() {
        let directory = tempfile::tempdir().unwrap();
        let file = CacheFile { path: directory.path().join("cache"), stored: Mutex::new(0) };
        file.store(vec![1, 2, 3]);
        assert_eq!(read(&file.path).unwrap(), [1, 2, 3]);
        file.store(vec![3, 2, 1]);
        assert_eq!(read(&file.path).unwrap(), [1, 2, 3], "the same in another order");
        file.store(vec![1, 2, 3, 4]);
        assert_eq!(read(&file.path).unwrap(), [1, 2, 3, 4]);
    }
}
