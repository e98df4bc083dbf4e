//! A dry-run device: it has capabilities but no memory, computes nothing, and logs every call.
//!
//! It runs everything that a backend runs, and its log gives the cost of the run: [`crate::measure::cost_table`].

use std::{
    mem,
    ops::Range,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    compute::{
        backend::Backend,
        caps::Caps,
        kernel::Dispatch,
        lock::lock,
        memory::{BufferId, Memory, Pending},
        pass::{Pass, Program},
    },
    error::Result,
};

/// A backend that only logs its calls. Every readback returns zeros.
pub struct DryRun {
    caps: Caps,
    last: AtomicU32,
    log: Mutex<DryRunLog>,
}

/// The log of a dry-run device.
#[derive(Default)]
pub struct DryRunLog {
    /// Every dispatch, in order, without its bindings.
    pub dispatches: Vec<Dispatch>,
    /// Programs submitted.
    pub submissions: u64,
    /// Times the host waited for the device.
    pub waits: u64,
}

impl DryRun {
    /// A dry-run device with these capabilities.
    pub fn new(caps: Caps) -> Self {
        Self { caps, last: AtomicU32::new(0), log: Mutex::default() }
    }

    /// Takes the log since the last call.
    pub fn take(&self) -> DryRunLog {
        mem::take(&mut *self.log())
    }

    fn log(&self) -> MutexGuard<'_, DryRunLog> {
        lock(&self.log)
    }
}

impl Memory for DryRun {
    fn alloc(&self, _: u64, _: &str) -> Result<BufferId> {
        Ok(BufferId(self.last.fetch_add(1, Ordering::Relaxed)))
    }

    fn free(&self, _: BufferId) {}

    fn write(&self, _: BufferId, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn read(&self, _: BufferId, range: Range<u64>) -> Pending {
        self.log().waits += 1;
        Box::pin(async move { Ok(vec![0; (range.end - range.start) as usize]) })
    }
}

impl Backend for DryRun {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let recorded = pass.finish();
        Ok(Program::new(recorded, ()))
    }

    fn run(&self, program: &Program) -> Result<()> {
        // Drop the buffers: they hold a reference to this backend.
        let dispatches =
            program.dispatches.iter().map(|dispatch| Dispatch { resources: Vec::new(), ..dispatch.clone() });
        let mut log = self.log();
        log.dispatches.extend(dispatches);
        log.submissions += 1;
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        self.log().waits += 1;
        Ok(())
    }
}
