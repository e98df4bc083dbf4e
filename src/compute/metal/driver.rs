//! The part of Metal that the backend uses: memory, pipelines and command buffers, in Metal's own terms.
//!
//! Two drivers exist: the operating system's Metal, and an emulator that runs the same backend and the same shaders
//! without a Mac. A driver decides nothing: order, barriers, limits and errors belong to the backend.

use std::{path::Path, ptr::NonNull};

use crate::compute::caps::Caps;

/// A compute device and its queue.
///
/// Command buffers run in commit order; each sees all writes of the earlier ones. Dispatches inside one may run
/// concurrently unless a barrier separates them.
pub trait Driver: Send + Sync + 'static {
    /// A buffer shared by host and device. Clones are the same memory. It lives as long as a clone, or a command buffer
    /// that uses it.
    type Buffer: Clone + Send + Sync + 'static;
    /// A compiled kernel. Clones are the same kernel.
    type Pipeline: Clone + Send + Sync + 'static;
    /// A command buffer under construction, by one thread. Dropping it discards it.
    type Commands;
    /// A committed command buffer.
    type Committed: Send + Sync + 'static;

    /// The device's capabilities. `memory` is the usable limit in bytes, `backend` is `metal`.
    fn caps(&self) -> &Caps;

    /// Allocates `bytes` bytes, at least 4 and a multiple of 4, with undefined contents. `None` if memory is
    /// insufficient.
    fn new_buffer(&self, bytes: u64, label: &str) -> Option<Self::Buffer>;

    /// The host address of a buffer's first byte. The caller must order its accesses against the device's.
    fn contents(&self, buffer: &Self::Buffer) -> NonNull<u8>;

    /// Compiles a text. Several threads may call it at once.
    ///
    /// # Errors
    /// The compiler's message; also if the device supports fewer lanes per workgroup of this kernel.
    fn new_pipeline(&self, shader: &Shader<'_>) -> Result<Self::Pipeline, String>;

    /// Begins a command buffer with concurrent dispatches.
    ///
    /// # Errors
    /// The reason, if the device is lost.
    fn begin(&self, label: &str) -> Result<Self::Commands, String>;

    /// Sets the kernel of later dispatches.
    fn set_pipeline(&self, commands: &mut Self::Commands, pipeline: &Self::Pipeline);

    /// Binds a whole buffer at `[[buffer(at)]]` for later dispatches.
    fn set_buffer(&self, commands: &mut Self::Commands, at: usize, buffer: &Self::Buffer);

    /// Copies at most 4096 bytes to `[[buffer(at)]]` for later dispatches.
    fn set_bytes(&self, commands: &mut Self::Commands, at: usize, bytes: &[u8]);

    /// Later dispatches start after earlier ones have finished, and see their buffer writes.
    fn barrier(&self, commands: &mut Self::Commands);

    /// Dispatches workgroups of `lanes` lanes each; the number of workgroups is the product of `groups`.
    fn dispatch(&self, commands: &mut Self::Commands, groups: [u32; 3], lanes: u32);

    /// Commits a command buffer. Does not wait.
    fn commit(&self, commands: Self::Commands) -> Self::Committed;

    /// Waits until a command buffer has ended, and returns its outcome.
    fn wait(&self, committed: &Self::Committed) -> Outcome;

    /// Caches compiled pipelines in a directory from now on, if the driver can. `texts` is the fingerprint of the
    /// shader texts.
    fn keep_pipelines(&self, _directory: &Path, _texts: u64) {}
}

/// A shader text to compile.
#[derive(Clone, Copy, Debug)]
pub struct Shader<'a> {
    /// The entry point.
    pub name: &'a str,
    /// The kernel with its defines, for messages.
    pub label: &'a str,
    /// The whole text, including prelude and library.
    pub text: &'a str,
    /// Lanes of one workgroup.
    pub lanes: u32,
}

/// The outcome of a command buffer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Device time in seconds, by the device's own clock.
    pub seconds: f64,
    /// The driver's error message, if it failed.
    pub error: Option<String>,
}
