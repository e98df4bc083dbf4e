//! Tensors: whole buffers with a shape. No views, no strides, no offsets.

use std::{ops::Range, sync::Arc};

use bytemuck::Pod;

use crate::{
    compute::{
        dtype::DType,
        memory::{AsMemory, Buffer, Resource},
        scratch::Scratch,
    },
    error::Result,
};

/// A matrix of `rows` × `width` elements that owns one whole buffer, row-major and without padding.
///
/// `&Tensor` binds for reading and `&mut Tensor` for writing, so one dispatch cannot bind a buffer both ways.
pub struct Tensor {
    rows: u32,
    width: u32,
    dtype: DType,
    home: Home,
}

enum Home {
    Device(Arc<Buffer>),
    Scratch(Scratch, u32),
}

impl Tensor {
    /// Allocates a tensor with its own buffer. Its contents are undefined.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] with `label`.
    pub fn new(memory: &impl AsMemory, [rows, width]: [u32; 2], dtype: DType, label: &str) -> Result<Self> {
        let bytes = dtype.size([rows, width]);
        Ok(Self::over(Buffer::new(memory, bytes, label)?, [rows, width], dtype))
    }

    /// A tensor over a buffer, which may be larger than the tensor.
    ///
    /// # Panics
    /// If the buffer is smaller than the tensor.
    pub fn over(buffer: Arc<Buffer>, [rows, width]: [u32; 2], dtype: DType) -> Self {
        let tensor = Self { rows, width, dtype, home: Home::Device(buffer) };
        assert!(tensor.bytes() <= tensor.buffer().bytes(), "tensor of {} bytes over a smaller buffer", tensor.bytes());
        tensor
    }

    /// Allocates a tensor and fills it with the given elements.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] with `label`.
    ///
    /// # Panics
    /// If the number of elements does not match the shape.
    pub fn from_slice<P: Pod>(
        memory: &impl AsMemory,
        shape: [u32; 2],
        dtype: DType,
        label: &str,
        data: &[P],
    ) -> Result<Self> {
        let tensor = Self::new(memory, shape, dtype, label)?;
        assert_eq!(size_of_val(data) as u64, tensor.bytes(), "{label}: bytes of the data and of the tensor");
        tensor.write(0, data)?;
        Ok(tensor)
    }

    /// A tensor in scratch memory. `take` returns the scratch number for a size in bytes.
    pub(crate) fn scratch(
        pool: &Scratch,
        [rows, width]: [u32; 2],
        dtype: DType,
        take: impl Fn(&Scratch, u64) -> u32,
    ) -> Self {
        let bytes = dtype.size([rows, width]).next_multiple_of(16).max(16);
        Self { rows, width, dtype, home: Home::Scratch(pool.clone(), take(pool, bytes)) }
    }

    pub(crate) fn resource(&self) -> Resource {
        match &self.home {
            Home::Device(buffer) => Resource::Buffer(buffer.clone()),
            Home::Scratch(_, number) => Resource::Scratch(*number),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Elements per row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Size of all elements in bytes.
    pub fn bytes(&self) -> u64 {
        self.dtype.size([self.rows, self.width])
    }

    /// The tensor's buffer.
    ///
    /// # Panics
    /// For scratch, which has memory only inside a program.
    pub fn buffer(&self) -> &Arc<Buffer> {
        match &self.home {
            Home::Device(buffer) => buffer,
            Home::Scratch(..) => panic!("scratch has memory only inside a program"),
        }
    }

    /// Overwrites elements, starting at element `at`.
    ///
    /// # Errors
    /// Those of [`super::memory::Memory::write`].
    ///
    /// # Panics
    /// For scratch, for elements beyond the buffer, and for quantized types.
    pub fn write<P: Pod>(&self, at: u64, data: &[P]) -> Result<()> {
        self.buffer().write(at * self.dtype.bytes(), bytemuck::cast_slice(data))
    }

    /// Waits for the elements of `range`, and returns them as bytes.
    ///
    /// # Errors
    /// Those of [`super::memory::Memory::read`].
    ///
    /// # Panics
    /// For scratch, for elements beyond the buffer, and for quantized types.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        self.buffer().read(range.start * self.dtype.bytes()..range.end * self.dtype.bytes()).await
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        if let Home::Scratch(pool, number) = &self.home {
            pool.give(*number);
        }
    }
}
