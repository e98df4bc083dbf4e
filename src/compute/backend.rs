//! The interface of a device. A backend owns memory ([`Memory`]) and runs recordings ([`Backend`]). It knows no model
//! and no operation.
//!
//! The trait is object-safe: the backend is chosen at run time, and no code is generic over it. Errors cover only what
//! a caller cannot prevent: missing memory, a shader that the driver rejects, a lost device.

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

use crate::{
    compute::{
        caps::Caps,
        kernel::Dispatch,
        memory::{AsMemory, BufferId, Memory, Pending},
        pass::{Pass, Program},
    },
    error::Result,
};

/// Runs programs on its own memory.
pub trait Backend: Memory {
    /// The capabilities that recording code may use.
    fn caps(&self) -> &Caps;

    /// Prepares a recording: pipelines, scratch memory, bind groups. The program can run many times.
    ///
    /// # Errors
    /// [`crate::Error::Shader`], [`crate::Error::OutOfMemory`] or [`crate::Error::Device`]. All compile errors, memory
    /// errors and limit violations appear here.
    fn load(&self, pass: Pass) -> Result<Program>;

    /// Caches compiled kernels in a directory, for this process and later ones. `texts` is the fingerprint of the
    /// shader texts ([`crate::kernels::fingerprint`]). Without a writable directory, or with nothing to cache, the
    /// backend works uncached.
    fn keep_pipelines(&self, _directory: &Path, _texts: u64) {}

    /// Compiles the pipelines of these dispatches, which need no bindings, so that loading them later is fast.
    ///
    /// # Errors
    /// [`crate::Error::Shader`] or [`crate::Error::Device`], as from loading them.
    fn compile(&self, _dispatches: &[Dispatch]) -> Result<()> {
        Ok(())
    }

    /// Submits a program of this backend. Programs run in order; this call does not wait.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device is lost or an earlier run failed.
    fn run(&self, program: &Program) -> Result<()>;

    /// [`Backend::run`], then [`Memory::read`] for each entry of `wanted`. Uses one submission if two would leave the
    /// device idle between them.
    ///
    /// # Errors
    /// Those of [`Backend::run`].
    fn run_and_read(&self, program: &Program, wanted: &[(BufferId, Range<u64>)]) -> Result<Vec<Pending>> {
        self.run(program)?;
        Ok(wanted.iter().map(|(id, range)| self.read(*id, range.clone())).collect())
    }

    /// Runs a program one dispatch at a time, waits, and returns the device time of each dispatch, in order. `None` if
    /// the device has no timestamps. A dispatch alone takes longer than among its neighbors, so the sum is an upper
    /// bound.
    ///
    /// # Errors
    /// Those of [`Backend::run`] and [`Backend::wait`].
    fn time(&self, program: &Program) -> Result<Option<Vec<Duration>>> {
        self.run(program)?;
        self.wait()?;
        Ok(None)
    }

    /// Waits until all submitted work has finished.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if a run failed.
    fn wait(&self) -> Result<()>;
}

impl AsMemory for Arc<dyn Backend> {
    fn as_memory(&self) -> Arc<dyn Memory> {
        self.clone()
    }
}
