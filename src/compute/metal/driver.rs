//! What the executor asks of Metal: memory, pipelines, and command buffers, in Metal's own words.
//!
//! Two things implement it: the operating system's Metal, and an emulator with which the same executor and the same
//! shaders run where there is no Mac. A driver decides nothing: order, barriers, limits and errors are the executor's.

use std::{path::Path, ptr::NonNull};

use crate::compute::caps::Caps;

/// A compute device and its queue.
///
/// Command buffers run in the order in which they are committed: each sees all that those before it wrote. Launches
/// inside of one may run together, unless a barrier lies between them.
pub trait Driver: Send + Sync + 'static {
    /// Buffers that host and device share. Clones are the same memory, which lasts as long as one of them, or commands
    /// that were given one.
    type Buffer: Clone + Send + Sync + 'static;
    /// A compiled kernel. Clones are the same.
    type Pipeline: Clone + Send + Sync + 'static;
    /// A command buffer that is being encoded, by one thread. One that is dropped is never run.
    type Commands;
    /// A command buffer that was handed to the device.
    type Committed: Send + Sync + 'static;

    /// What the device can do. `memory` is how much of it may be used at once, `backend` is `metal`.
    fn caps(&self) -> &Caps;

    /// New memory of `bytes` bytes, at least 4 and a multiple of that, contents undefined; none if there is not enough.
    fn new_buffer(&self, bytes: u64, label: &str) -> Option<Self::Buffer>;

    /// Where the host sees the first byte of a buffer. Whoever reads or writes there looks after what the device does
    /// meanwhile.
    fn contents(&self, buffer: &Self::Buffer) -> NonNull<u8>;

    /// Compiles a text. Called from several threads at once.
    ///
    /// # Errors
    /// What the compiler says against it; also where the device takes fewer lanes in a group of this kernel.
    fn new_pipeline(&self, shader: &Shader<'_>) -> Result<Self::Pipeline, String>;

    /// Begins a command buffer in which launches run concurrently.
    ///
    /// # Errors
    /// Why there is none: the device is gone.
    fn begin(&self, label: &str) -> Result<Self::Commands, String>;

    /// Launches from here on run this kernel.
    fn set_pipeline(&self, commands: &mut Self::Commands, pipeline: &Self::Pipeline);

    /// Launches from here on have a whole buffer at `[[buffer(at)]]`.
    fn set_buffer(&self, commands: &mut Self::Commands, at: usize, buffer: &Self::Buffer);

    /// Launches from here on have a copy of these bytes, at most 4096, at `[[buffer(at)]]`.
    fn set_bytes(&self, commands: &mut Self::Commands, at: usize, bytes: &[u8]);

    /// Launches from here on start after those before have ended, and see what they wrote to buffers.
    fn barrier(&self, commands: &mut Self::Commands);

    /// Launches groups of `lanes` lanes each: as many groups as the product of `groups`.
    fn dispatch(&self, commands: &mut Self::Commands, groups: [u32; 3], lanes: u32);

    /// Hands a command buffer to the device. Does not wait.
    fn commit(&self, commands: Self::Commands) -> Self::Committed;

    /// Waits until a command buffer has ended, and says how.
    fn wait(&self, committed: &Self::Committed) -> Outcome;

    /// Keeps compiled pipelines in a directory from here on, where a driver can; `texts` tells those of one set of shader
    /// texts from those of another.
    fn keep_pipelines(&self, _directory: &Path, _texts: u64) {}
}

/// A text to compile.
#[derive(Clone, Copy, Debug)]
pub struct Shader<'a> {
    /// The entry point.
    pub name: &'a str,
    /// The kernel with its defines, for people.
    pub label: &'a str,
    /// The whole text, prelude and library included.
    pub text: &'a str,
    /// Lanes of one group.
    pub lanes: u32,
}

/// How a command buffer ended.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// How long the device worked on it, in seconds by its own clock.
    pub seconds: f64,
    /// What went wrong, in the driver's words.
    pub error: Option<String>,
}
