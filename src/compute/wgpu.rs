//! The executor for every GPU that has a WebGPU driver: Vulkan, Direct3D 12, Metal, software.
//!
//! It owns memory and runs recordings. wgpu derives barriers by itself, so the recording's flags are not looked at.

mod adapter;
mod clock;
mod device;
mod error;
mod instance;
mod memory;
mod pace;
mod pipeline_cache;
mod pipelines;
pub mod prelude;
mod program;
pub mod unroll;

use std::{
    ops::Range,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub use adapter::Adapter;
use device::{Device, Refusal};
use memory::Buffers;
use pipelines::Pipelines;
use program::Prepared;

use crate::{
    compute::{
        backend::Backend,
        caps::Caps,
        kernel::Dispatch,
        memory::{BufferId, Memory, Pending},
        pass::{Pass, Program},
    },
    error::{Error, Result},
};

/// A GPU through wgpu.
pub struct Wgpu {
    caps: Caps,
    device: Arc<Device>,
    memory: Buffers,
    pipelines: Pipelines,
    /// How long a submission may take, about.
    submission: Duration,
}

/// What to keep from a device although it offers it, so that what happens on lesser devices can be tried on this one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restrict {
    half: bool,
    subgroup: bool,
    limits: bool,
    max_binding: Option<u64>,
    submission: Option<Duration>,
}

impl Restrict {
    /// As on the least device that WebGPU allows: no half precision, no subgroups, the default limits.
    pub fn webgpu() -> Self {
        Self { half: true, subgroup: true, limits: true, ..Self::default() }
    }

    /// Without half precision in shaders.
    pub fn without_half(self) -> Self {
        Self { half: true, ..self }
    }

    /// Without subgroup operations in shaders.
    pub fn without_subgroup(self) -> Self {
        Self { subgroup: true, ..self }
    }

    /// With at most this many bytes in one binding.
    pub fn max_binding(self, bytes: u64) -> Self {
        Self { max_binding: Some(bytes), ..self }
    }

    /// With programs cut into submissions of about this length, as if more would hold the device for too long; with none,
    /// every launch is a submission.
    pub fn submission(self, length: Duration) -> Self {
        Self { submission: Some(length), ..self }
    }
}

impl Wgpu {
    /// Every device that wgpu finds, in the drivers' order; none on a machine without a driver.
    pub fn adapters() -> Vec<Adapter> {
        Adapter::all()
    }

    /// Opens a device.
    ///
    /// # Errors
    /// [`Error::NoBackend`] if its driver refuses.
    pub fn open(adapter: &Adapter, restrict: Restrict) -> Result<Self> {
        let (device, queue, caps) = adapter.open(restrict)?;
        let device = Arc::new(Device::new(device, queue));
        let submission = restrict.submission.unwrap_or(crate::compute::submission::TARGET);
        Ok(Self { caps, device, memory: Buffers::default(), pipelines: Pipelines::default(), submission })
    }

    /// How often work was handed to the device so far.
    pub fn submissions(&self) -> u64 {
        self.device.submissions.load(Ordering::Relaxed)
    }

    /// Gives the device up, as if it were lost: everything from here on is an [`Error::Device`].
    pub fn give_up(&self) {
        self.device.handle.destroy();
    }
}

impl Memory for Wgpu {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.memory.alloc(&self.device, &self.caps, bytes, label)
    }

    fn free(&self, id: BufferId) {
        self.memory.free(id);
    }

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.memory.write(&self.device, id, at, data)
    }

    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        self.memory.read(&self.device, id, range)
    }
}

impl Backend for Wgpu {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let recorded = pass.finish();
        let prepared = Prepared::new(self, &recorded)?;
        Ok(Program::new(recorded, prepared))
    }

    fn keep_pipelines(&self, directory: &Path, texts: u64) {
        self.pipelines.keep(&self.device, directory, texts);
    }

    fn compile(&self, launches: &[Dispatch]) -> Result<()> {
        self.pipelines.of(&self.device, &self.caps, launches).map(drop)
    }

    fn run(&self, program: &Program) -> Result<()> {
        prepared(program).run(&self.device, &[]).map(drop)
    }

    fn run_and_read(&self, program: &Program, wanted: &[(BufferId, Range<u64>)]) -> Result<Vec<Pending>> {
        let copy = |(id, range): &(BufferId, Range<u64>)| self.memory.copy(&self.device, *id, range.clone());
        let copies = wanted.iter().map(copy).collect::<Result<Vec<_>>>()?;
        let submission = prepared(program).run(&self.device, &copies)?;
        let pending = |copy| Box::pin(self.memory.reading(&self.device, copy, submission.clone())) as Pending;
        Ok(copies.into_iter().map(pending).collect())
    }

    fn time(&self, program: &Program) -> Result<Option<Vec<Duration>>> {
        clock::time(&self.device, prepared(program))
    }

    fn wait(&self) -> Result<()> {
        self.device.wait(None);
        self.device.check()
    }
}

fn prepared(program: &Program) -> &Prepared {
    program.prepared()
}

impl Refusal {
    /// As an error about what was being done.
    fn during(self, label: &str) -> Error {
        let what = match self {
            Refusal::OutOfMemory => "out of memory".into(),
            Refusal::Other(what) => what,
        };
        Error::Device { label: label.into(), what }
    }
}
