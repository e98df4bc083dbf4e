//! Finished recordings, and how to look into one: give its scratch memory buffers of its own, run it launch by launch
//! with [`Pass::replay`], and read what each launch wrote.
//!
//! ```
//! # use bimetal::{Backend, Result, low_level::compute::{memory::Buffer, pass::{Pass, Recorded}}};
//! # use std::sync::Arc;
//! fn trace(backend: &Arc<dyn Backend>, recorded: Recorded) -> Result<()> {
//!     let recorded = recorded.on_buffers(|bytes| Buffer::new(backend, bytes, "trace"))?;
//!     for (at, dispatch) in recorded.dispatches.iter().enumerate() {
//!         backend.run(&backend.load(Pass::replay(backend.caps(), &recorded.dispatches[at..=at]))?)?;
//!         for (binding, slot, dtype) in dispatch.written() {
//!             let bytes = pollster::block_on(slot.buffer().read(0..slot.buffer().bytes()))?;
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
use crate::compute::{kernel::Dispatch, memory::Slot};
use crate::{
    compute::{
        dtype::DType,
        memory::{Buffer, Pending},
    },
    error::Result,
};

/// A name given to a tensor at one point of a recording, for whoever runs it step by step.
#[derive(Clone)]
pub struct Mark {
    /// The name.
    pub name: String,
    /// Number of dispatches before it.
    pub after: usize,
    /// Where the tensor lives.
    pub slot: Slot,
    /// Rows and width.
    pub shape: [u32; 2],
    /// Element type.
    pub dtype: DType,
}

impl Mark {
    /// The tensor's elements, as bytes. They are the marked ones once [`Mark::after`] launches have run, and until a
    /// later one is lent the same memory.
    ///
    /// # Panics
    /// If the tensor lives in scratch memory; see [`Recorded::on_buffers`].
    pub fn read(&self) -> Pending {
        self.slot.buffer().read(0..self.dtype.size(self.shape))
    }
}

/// What a recording holds once it is finished.
pub struct Recorded {
    /// The launches, in order.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of each scratch buffer.
    pub scratch: Vec<u64>,
    /// Named tensors along the way.
    pub marks: Vec<Mark>,
}

impl Recorded {
    /// What errors call it, since it has no name of its own: its first launch, and how many follow.
    pub fn label(&self) -> String {
        match &*self.dispatches {
            [] => "an empty program".into(),
            [only] => only.label(),
            [first, more @ ..] => format!("{} and {} more", first.label(), more.len()),
        }
    }

    /// The same recording without scratch memory: each piece becomes a buffer that `allocate` makes for its number of
    /// bytes, and which can be filled before, and read between, the launches.
    ///
    /// # Errors
    /// Those of `allocate`.
    pub fn on_buffers(mut self, allocate: impl FnMut(u64) -> Result<Arc<Buffer>>) -> Result<Self> {
        let buffers = self.scratch.drain(..).map(allocate).collect::<Result<Vec<_>>>()?;
        let slots = self.dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.slots);
        for slot in slots.chain(self.marks.iter_mut().map(|mark| &mut mark.slot)) {
            if let Slot::Scratch(number) = slot {
                *slot = Slot::Buffer(buffers[*number as usize].clone());
            }
        }
        Ok(self)
    }
}
