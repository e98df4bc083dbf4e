//! Device memory: buffers with ids, and the resources that a dispatch binds.

use std::{future::Future, ops::Range, pin::Pin, sync::Arc};

use crate::error::Result;

/// The id of a buffer of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BufferId(pub u32);

/// A readback in progress. Only awaiting it waits; native callers use `pollster::block_on`.
pub type Pending = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// Owns buffers: one half of a backend. The other half runs recordings.
pub trait Memory: Send + Sync {
    /// Allocates a buffer of `bytes` bytes, a multiple of 4. Its contents are undefined.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] with `label`.
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId>;

    /// Frees a buffer. Drop the programs that use it first.
    fn free(&self, id: BufferId);

    /// Copies `data` to byte offset `at` of a buffer; offset and length are multiples of 4. Only later runs see it.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device is lost.
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()>;

    /// Reads the bytes of `range` as they are after all work submitted so far.
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending;
}

/// Gives access to the memory of a shared device, without the rest of the backend.
pub trait AsMemory {
    /// The device's memory.
    fn as_memory(&self) -> Arc<dyn Memory>;
}

impl<M: Memory + 'static> AsMemory for Arc<M> {
    fn as_memory(&self) -> Arc<dyn Memory> {
        self.clone()
    }
}

/// A buffer on a backend, freed with the last tensor or program that uses it.
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

    /// The buffer's id.
    pub fn id(&self) -> BufferId {
        self.id
    }

    /// The buffer's size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies `data` to byte offset `at`.
    ///
    /// # Errors
    /// Those of [`Memory::write`].
    ///
    /// # Panics
    /// If `data` does not fit into the buffer.
    pub fn write(&self, at: u64, data: &[u8]) -> Result<()> {
        assert!(at + data.len() as u64 <= self.bytes, "write of {} bytes at {at} into {}", data.len(), self.bytes);
        self.memory.write(self.id, at, data)
    }

    /// Reads the bytes of `range`.
    ///
    /// # Panics
    /// If the range exceeds the buffer.
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

/// The resource of a binding.
#[derive(Clone)]
pub enum Resource {
    /// A buffer on the device.
    Buffer(Arc<Buffer>),
    /// A numbered scratch buffer, which belongs to a program.
    Scratch(u32),
}

impl Resource {
    /// The buffer of this resource.
    ///
    /// # Panics
    /// For scratch, which has memory only inside a program.
    pub fn buffer(&self) -> &Arc<Buffer> {
        match self {
            Resource::Buffer(buffer) => buffer,
            Resource::Scratch(_) => panic!("scratch has memory only inside a program"),
        }
    }
}
