//! Memory of a device: buffers with names, and what a launch may be bound to.

use std::{future::Future, ops::Range, pin::Pin, sync::Arc};

use crate::error::Result;

/// A buffer of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BufferId(pub u32);

/// Bytes on their way back from a device. Nothing but awaiting it waits; native callers use `pollster::block_on`.
pub type Pending = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// Owns buffers. One half of a backend; the other runs recordings.
pub trait Memory: Send + Sync {
    /// A new buffer of `bytes` bytes, a multiple of 4; its contents are undefined.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] with `label`.
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId>;

    /// Gives a buffer back. Programs that use it must be gone.
    fn free(&self, id: BufferId);

    /// Copies `data` to byte `at` of a buffer; both are multiples of 4. Later runs see it, earlier ones do not.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device is lost.
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()>;

    /// The bytes of `range` as they are after everything submitted so far.
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending;
}

/// A shared device, seen as its memory alone.
pub trait AsMemory {
    /// Its memory.
    fn as_memory(&self) -> Arc<dyn Memory>;
}

impl<M: Memory + 'static> AsMemory for Arc<M> {
    fn as_memory(&self) -> Arc<dyn Memory> {
        self.clone()
    }
}

/// A buffer on a backend, freed when the last tensor or program that uses it is gone.
pub struct Buffer {
    memory: Arc<dyn Memory>,
    id: BufferId,
    bytes: u64,
}

impl Buffer {
    /// Allocates `bytes` bytes, rounded up to a multiple of 16.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] with `label`.
    pub fn new(memory: &impl AsMemory, bytes: u64, label: &str) -> Result<Arc<Self>> {
        let bytes = bytes.next_multiple_of(16).max(16);
        let memory = memory.as_memory();
        let id = memory.alloc(bytes, label)?;
        Ok(Arc::new(Self { memory, id, bytes }))
    }

    /// Its name.
    pub fn id(&self) -> BufferId {
        self.id
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies `data` to byte `at`.
    ///
    /// # Errors
    /// Those of [`Memory::write`].
    ///
    /// # Panics
    /// If they do not fit into the buffer.
    pub fn write(&self, at: u64, data: &[u8]) -> Result<()> {
        assert!(at + data.len() as u64 <= self.bytes, "write of {} bytes at {at} into {}", data.len(), self.bytes);
        self.memory.write(self.id, at, data)
    }

    /// The bytes of `range`.
    ///
    /// # Panics
    /// If the range is not in the buffer.
    pub fn read(&self, range: Range<u64>) -> Pending {
        assert!(range.end <= self.bytes, "read of {range:?} from {} bytes", self.bytes);
        self.memory.read(self.id, range)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.free(self.id);
    }
}

/// What a binding is bound to.
#[derive(Clone)]
pub enum Slot {
    /// Memory that lives on the device.
    Buffer(Arc<Buffer>),
    /// Numbered memory that a program brings along.
    Scratch(u32),
}

impl Slot {
    /// The buffer of a slot that is not scratch.
    ///
    /// # Panics
    /// For scratch, whose memory exists only inside a program.
    pub fn buffer(&self) -> &Arc<Buffer> {
        match self {
            Slot::Buffer(buffer) => buffer,
            Slot::Scratch(_) => panic!("scratch has memory only inside a program"),
        }
    }
}
