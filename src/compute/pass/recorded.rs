//! Finished recordings, and how to inspect one: replace its scratch memory by buffers, run it one dispatch at a time
//! with [`Pass::replay`], and read what each dispatch wrote.
//!
//! ```
//! # use bimetal::{Backend, Result, low_level::compute::{memory::Buffer, pass::{Pass, Recorded}}};
//! # use std::sync::Arc;
//! fn trace(backend: &Arc<dyn Backend>, recorded: Recorded) -> Result<()> {
//!     let recorded = recorded.on_buffers(|bytes| Buffer::new(backend, bytes, "trace"))?;
//!     for (at, dispatch) in recorded.dispatches.iter().enumerate() {
//!         backend.run(&backend.load(Pass::replay(backend.caps(), &recorded.dispatches[at..=at]))?)?;
//!         for (binding, resource, dtype) in dispatch.written() {
//!             let bytes = pollster::block_on(resource.buffer().read(0..resource.buffer().bytes()))?;
//!             println!("{}: {} of {dtype}, {} bytes", dispatch.label(), binding.name, bytes.len());
//!         }
//!         for mark in recorded.marks.iter().filter(|mark| mark.after == at + 1) {
//!             println!("{}: {:?}", mark.name, pollster::block_on(mark.read())?.len());
//!         }
//!     }
//!     Ok(())
//! }
//! ```

use std::sync::Arc;

#[cfg(doc)]
use super::Pass;
use crate::compute::{kernel::Dispatch, memory::Resource};
use crate::{
    compute::{
        dtype::DType,
        memory::{Buffer, Pending},
    },
    error::Result,
};

/// The name of a tensor at one point of a recording, for callers that run it step by step.
#[derive(Clone)]
pub struct Mark {
    /// The name.
    pub name: String,
    /// Number of dispatches before the mark.
    pub after: usize,
    /// The tensor's memory.
    pub resource: Resource,
    /// Rows and width.
    pub shape: [u32; 2],
    /// Element type.
    pub dtype: DType,
}

impl Mark {
    /// Reads the tensor's elements, as bytes. They are valid after [`Mark::after`] dispatches, until a later tensor
    /// reuses the memory.
    ///
    /// # Panics
    /// If the tensor lives in scratch memory; see [`Recorded::on_buffers`].
    pub fn read(&self) -> Pending {
        self.resource.buffer().read(0..self.dtype.size(self.shape))
    }
}

/// A finished recording.
pub struct Recorded {
    /// The dispatches, in order.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of each scratch buffer.
    pub scratch: Vec<u64>,
    /// Named intermediate tensors.
    pub marks: Vec<Mark>,
}

impl Recorded {
    /// A label for errors: the first dispatch, and the number of dispatches after it.
    pub fn label(&self) -> String {
        match &*self.dispatches {
            [] => "an empty program".into(),
            [only] => only.label(),
            [first, more @ ..] => format!("{} and {} more", first.label(), more.len()),
        }
    }

    /// The same recording with buffers in place of scratch memory. `allocate` makes each buffer from its size in bytes.
    /// Callers can fill these buffers before a dispatch and read them after it.
    ///
    /// # Errors
    /// Those of `allocate`.
    pub fn on_buffers(mut self, allocate: impl FnMut(u64) -> Result<Arc<Buffer>>) -> Result<Self> {
        let buffers = self.scratch.drain(..).map(allocate).collect::<Result<Vec<_>>>()?;
        let resources = self.dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.resources);
        for resource in resources.chain(self.marks.iter_mut().map(|mark| &mut mark.resource)) {
            if let Resource::Scratch(number) = resource {
                *resource = Resource::Buffer(buffers[*number as usize].clone());
            }
        }
        Ok(self)
    }
}
