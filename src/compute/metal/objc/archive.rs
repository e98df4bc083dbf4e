//! Compiled pipelines in a file that later processes share. Archived pipelines load directly. Others compile as without
//! an archive, and a background thread adds them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
    thread::{self, JoinHandle},
};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::{NSArray, NSURL};
use objc2_metal::{
    MTLBinaryArchive, MTLBinaryArchiveDescriptor, MTLComputePipelineDescriptor, MTLComputePipelineState, MTLDevice,
    MTLPipelineOption,
};

use super::said;
use crate::compute::{kernel::fingerprint, lock::lock, metal::prelude};

/// The archive of one device and the shader texts of one build.
pub(super) struct Archive {
    path: PathBuf,
    handle: RwLock<Handle>,
    /// Compiled pipelines that are not in the archive.
    fresh: Mutex<Vec<Fresh>>,
}

struct Handle(Retained<ProtocolObject<dyn MTLBinaryArchive>>);

struct Fresh(Retained<MTLComputePipelineDescriptor>);

// SAFETY: an archive is not bound to a thread; a lock separates additions from all other uses.
#[allow(unsafe_code)]
unsafe impl Send for Handle {}
// SAFETY: as above; several threads may look up pipelines.
#[allow(unsafe_code)]
unsafe impl Sync for Handle {}
// SAFETY: a stored descriptor never changes.
#[allow(unsafe_code)]
unsafe impl Send for Fresh {}

impl Archive {
    /// The archive of a device in a directory, or an empty one; `None` if the system provides none.
    pub(super) fn open(device: &ProtocolObject<dyn MTLDevice>, directory: &Path, texts: u64) -> Option<Self> {
        let name = device.name().to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let library = fingerprint(prelude::LIBRARY.iter().copied());
        let path = directory.join(format!("metal_{name}_{:016x}.binarchive", texts ^ library));
        let descriptor = MTLBinaryArchiveDescriptor::new();
        if path.is_file() {
            descriptor.setUrl(Some(&*NSURL::from_file_path(&path)?));
        }
        // A different release of macOS may reject an archive of the previous one.
        let known = device.newBinaryArchiveWithDescriptor_error(&descriptor).or_else(|why| {
            log::info!("{}: not used for pipelines: {}", path.display(), said(why));
            descriptor.setUrl(None);
            device.newBinaryArchiveWithDescriptor_error(&descriptor)
        });
        let handle = RwLock::new(Handle(known.ok()?));
        Some(Self { path, handle, fresh: Mutex::default() })
    }

    /// Looks up an archived pipeline.
    pub(super) fn pipeline(
        &self,
        device: &ProtocolObject<dyn MTLDevice>,
        descriptor: &MTLComputePipelineDescriptor,
    ) -> Option<Retained<ProtocolObject<dyn MTLComputePipelineState>>> {
        // While a thread adds pipelines, compiling is faster than waiting.
        let handle = self.handle.try_read().ok()?;
        descriptor.setBinaryArchives(Some(&NSArray::from_slice(&[&*handle.0])));
        let options = MTLPipelineOption::FailOnBinaryArchiveMiss;
        let kept = device.newComputePipelineStateWithDescriptor_options_reflection_error(descriptor, options, None);
        descriptor.setBinaryArchives(None);
        kept.ok()
    }

    /// Remembers a pipeline for the archive.
    pub(super) fn remember(&self, descriptor: Retained<MTLComputePipelineDescriptor>) {
        lock(&self.fresh).push(Fresh(descriptor));
    }

    /// Adds the newly compiled pipelines, in the background, and rewrites the file.
    pub(super) fn keep(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        let fresh = std::mem::take(&mut *lock(&self.fresh));
        if fresh.is_empty() {
            return None;
        }
        let archive = self.clone();
        let add = move || {
            if let Err(why) = autoreleasepool(|_| archive.add(&fresh)) {
                log::info!("{}: pipelines are not cached: {why}", archive.path.display());
            }
        };
        let thread = thread::Builder::new().spawn(add);
        thread.inspect_err(|why| log::info!("pipelines are not cached: {why}")).ok()
    }

    fn add(&self, fresh: &[Fresh]) -> io::Result<()> {
        let handle = self.handle.write().map_err(|_| io::Error::other("an earlier attempt failed"))?;
        for Fresh(descriptor) in fresh {
            handle
                .0
                .addComputePipelineFunctionsWithDescriptor_error(descriptor)
                .map_err(|why| io::Error::other(said(why)))?;
        }
        // Atomic, even if another process writes the file too.
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let file = tempfile::NamedTempFile::new_in(directory)?.into_temp_path();
        let url = NSURL::from_file_path(&file).ok_or_else(|| io::Error::other("the path is not a valid URL"))?;
        handle.0.serializeToURL_error(&url).map_err(|why| io::Error::other(said(why)))?;
        file.persist(&self.path)?;
        Ok(())
    }
}
