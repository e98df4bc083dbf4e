//! The seam. A backend owns memory ([`Memory`]) and runs recordings ([`Backend`]); it knows no model and no operation.
//!
//! The trait is object-safe: which backend runs is decided at run time and nothing is generic over it. Errors cover
//! only what a caller cannot foresee: memory that is not there, a shader the driver refuses, a device that goes away.

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

/// Runs programs on memory of its own.
pub trait Backend: Memory {
    /// What recording code may know.
    fn caps(&self) -> &Caps;

    /// Prepares a recording: pipelines, scratch memory, bind groups. The result may be run again and again.
    ///
    /// # Errors
    /// [`crate::Error::Shader`], [`crate::Error::OutOfMemory`] or [`crate::Error::Device`]: this is where compile
    /// errors, memory and limits surface.
    fn load(&self, pass: Pass) -> Result<Program>;

    /// Keeps what kernels compile to in a directory, from now on and from one process to the next. `texts` tells one set of
    /// shader texts from another ([`crate::kernels::fingerprint`]). Where the directory cannot be written, or the backend
    /// has nothing to keep, everything works as without it.
    fn keep_pipelines(&self, _directory: &Path, _texts: u64) {}

    /// Compiles what these launches need, which need not bind anything, so that loading them later is quick.
    ///
    /// # Errors
    /// [`crate::Error::Shader`] or [`crate::Error::Device`], as loading them would.
    fn compile(&self, _launches: &[Dispatch]) -> Result<()> {
        Ok(())
    }

    /// Submits a program of this backend. Runs are in order; this does not wait.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device is lost or an earlier run failed.
    fn run(&self, program: &Program) -> Result<()>;

    /// The same, and then what [`Memory::read`] does for each of some buffers; in one submission where handing over two
    /// would keep the device waiting between them.
    ///
    /// # Errors
    /// Those of [`Backend::run`].
    fn run_and_read(&self, program: &Program, wanted: &[(BufferId, Range<u64>)]) -> Result<Vec<Pending>> {
        self.run(program)?;
        Ok(wanted.iter().map(|(id, range)| self.read(*id, range.clone())).collect())
    }

    /// Runs a program launch by launch, waits, and says how long each launch took on the device, in order. None where
    /// the device has no clock. A launch alone takes longer than among its neighbours, so the sum is an upper bound.
    ///
    /// # Errors
    /// Those of [`Backend::run`] and [`Backend::wait`].
    fn time(&self, program: &Program) -> Result<Option<Vec<Duration>>> {
        self.run(program)?;
        self.wait()?;
        Ok(None)
    }

    /// Waits until everything submitted has finished.
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
