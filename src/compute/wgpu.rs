//! The backend for every GPU with a WebGPU driver: Vulkan, Direct3D 12, Metal, software.
//!
//! It owns memory and runs recordings. wgpu derives barriers itself, so this backend ignores the recording's barriers.

mod adapter;
mod clock;
mod device;
mod error;
mod instance;
mod late;
mod memory;
#[cfg_attr(target_arch = "wasm32", path = "wgpu/no_pipeline_cache.rs")]
mod pipeline_cache;
mod pipelines;
pub mod prelude;
mod program;
mod submission_plan;
pub mod unroll;

use std::{
    ops::Range,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

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
pub use adapter::Adapter;
use device::{Device, Refusal};
use memory::Buffers;
use pipelines::Pipelines;
use program::Prepared;

/// A GPU through wgpu.
pub struct Wgpu {
    caps: Caps,
    device: Arc<Device>,
    memory: Buffers,
    pipelines: Pipelines,
    /// Target duration of a submission.
    submission: Duration,
}

/// Device features to leave unused, to test on this device how less capable devices behave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restrict {
    half: bool,
    subgroup: bool,
    limits: bool,
    max_binding: Option<u64>,
    submission: Option<Duration>,
}

impl Restrict {
    /// The minimum that WebGPU guarantees: no f16, no subgroups, the default limits.
    pub fn webgpu() -> Self {
        Self { half: true, subgroup: true, limits: true, ..Self::default() }
    }

    /// Disables f16 in shaders.
    pub fn without_half(self) -> Self {
        Self { half: true, ..self }
    }

    /// Disables subgroup operations in shaders.
    pub fn without_subgroup(self) -> Self {
        Self { subgroup: true, ..self }
    }

    /// Limits one binding to this many bytes.
    pub fn max_binding(self, bytes: u64) -> Self {
        Self { max_binding: Some(bytes), ..self }
    }

    /// Splits programs into submissions of about this duration, as for a slow device. With a duration of zero, every
    /// dispatch is a submission.
    pub fn submission(self, length: Duration) -> Self {
        Self { submission: Some(length), ..self }
    }
}

impl Wgpu {
    /// Every device that wgpu finds, in the drivers' order; empty on a machine without a driver. Blocks until they
    /// answer.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn adapters() -> Vec<Adapter> {
        pollster::block_on(Self::adapters_async())
    }

    /// Every device that wgpu finds, in the drivers' order. A browser offers only the one it chooses.
    pub async fn adapters_async() -> Vec<Adapter> {
        Adapter::all().await
    }

    /// Opens a device; blocks until it is open.
    ///
    /// # Errors
    /// [`Error::NoBackend`] if the driver refuses.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(adapter: &Adapter, restrict: Restrict) -> Result<Self> {
        pollster::block_on(Self::request(adapter, restrict))
    }

    /// Opens a device, without blocking.
    ///
    /// # Errors
    /// [`Error::NoBackend`] if the driver refuses.
    pub async fn request(adapter: &Adapter, restrict: Restrict) -> Result<Self> {
        let (device, queue, caps) = adapter.open(restrict).await?;
        let device = Arc::new(Device::new(device, queue));
        let submission = restrict.submission.unwrap_or(crate::compute::submission::TARGET);
        Ok(Self { caps, device, memory: Buffers::default(), pipelines: Pipelines::default(), submission })
    }

    /// Number of submissions so far.
    pub fn submissions(&self) -> u64 {
        self.device.submissions.load(Ordering::Relaxed)
    }

    /// Simulates a lost device: every later call returns an [`Error::Device`].
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

    fn compile(&self, dispatches: &[Dispatch]) -> Result<()> {
        self.pipelines.of(&self.device, &self.caps, dispatches).map(drop)
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
    /// Converts the refusal to an error of the operation `label`.
    fn during(self, label: &str) -> Error {
        let what = match self {
            Refusal::OutOfMemory => "out of memory".into(),
            Refusal::Other(what) => what,
        };
        Error::Device { label: label.into(), what }
    }
}
