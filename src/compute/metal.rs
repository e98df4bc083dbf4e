//! The backend for Apple GPUs, through native Metal.
//!
//! It owns memory and runs recordings, on any [`Driver`]: the operating system's Metal on a Mac, or an emulator or
//! recorder in tests elsewhere. Dispatches of a recording run concurrently except for its barriers. Command buffers run
//! in order, with several in flight at once.

pub mod driver;
#[cfg(all(unix, feature = "emulator"))]
pub mod emulator;
mod memory;
#[cfg(target_os = "macos")]
mod objc;
mod opening;
mod pipelines;
pub mod prelude;
mod program;
mod queue;
mod submission_plan;

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

use crate::{
    compute::{
        backend::Backend,
        caps::Caps,
        kernel::Dispatch,
        memory::{BufferId, Memory, Pending},
        pass::{Pass, Program},
        submission::TARGET,
    },
    error::Result,
};
use driver::Driver;
use memory::Buffers;
pub use opening::{ELSEWHERE, MIN_MACOS, devices, open};
use pipelines::Pipelines;
use program::Prepared;
use queue::Queue;

/// A GPU through Metal.
pub struct Metal<D: Driver> {
    queue: Arc<Queue<D>>,
    memory: Buffers<D>,
    pipelines: Pipelines<D>,
    /// Target duration of a command buffer.
    submission: Duration,
}

impl<D: Driver> Metal<D> {
    /// A backend on this device.
    pub fn new(driver: D) -> Self {
        let queue = Arc::new(Queue::new(Arc::new(driver)));
        Self { queue, memory: Buffers::new(), pipelines: Pipelines::new(), submission: TARGET }
    }

    /// Splits programs into command buffers of about this duration, as for a slow device. With a duration of zero,
    /// every dispatch is a command buffer.
    pub fn submission(self, length: Duration) -> Self {
        Self { submission: length, ..self }
    }

    /// The device.
    pub fn driver(&self) -> &D {
        &self.queue.driver
    }

    /// Number of command buffers committed so far.
    pub fn submissions(&self) -> u64 {
        self.queue.committed()
    }
}

impl<D: Driver> Memory for Metal<D> {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.memory.alloc(&self.queue, bytes, label)
    }

    fn free(&self, id: BufferId) {
        self.memory.free(id);
    }

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.memory.of(id).write(at, data)
    }

    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        self.memory.of(id).read(range)
    }
}

impl<D: Driver> Backend for Metal<D> {
    fn caps(&self) -> &Caps {
        self.queue.driver.caps()
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let recorded = pass.finish();
        let prepared = Prepared::new(self, &recorded)?;
        Ok(Program::new(recorded, prepared))
    }

    fn keep_pipelines(&self, directory: &Path, texts: u64) {
        self.pipelines.keep(&self.queue.driver, directory, texts);
    }

    fn compile(&self, dispatches: &[Dispatch]) -> Result<()> {
        self.pipelines.of(&self.queue.driver, dispatches).map(drop)
    }

    fn run(&self, program: &Program) -> Result<()> {
        prepared::<D>(program).run(&self.queue)
    }

    fn time(&self, program: &Program) -> Result<Option<Vec<Duration>>> {
        prepared::<D>(program).time(&self.queue).map(Some)
    }

    fn wait(&self) -> Result<()> {
        self.queue.wait_for(self.queue.committed());
        self.queue.check()
    }
}

fn prepared<D: Driver>(program: &Program) -> &Prepared<D> {
    program.prepared()
}
