//! Weight matrices as kernel operands, and the other operands of their products.

use std::ops::Range;

use crate::{compute::tensor::Tensor, kernels::rms_norm::Norm};

/// A weight matrix \[out, in\]: one tensor, or several tensors of consecutive rows. It has several if one would exceed
/// the backend's binding limit, or if rows differ in dtype.
pub struct Matrix {
    parts: Vec<Part>,
    rows: u32,
    width: u32,
}

/// Consecutive rows of a matrix.
pub struct Part {
    /// \[rows, in\]
    pub tensor: Tensor,
    /// The first row of the part in the matrix.
    pub first: u32,
}

impl Part {
    /// The rows of the part in the matrix.
    pub fn rows(&self) -> Range<u32> {
        self.first..self.first + self.tensor.rows()
    }
}

impl Matrix {
    /// A matrix of consecutive parts of equal width.
    ///
    /// # Panics
    /// If `tensors` is empty, or if widths differ.
    pub fn new(tensors: Vec<Tensor>) -> Self {
        let width = tensors.first().expect("a matrix needs a part").width();
        let mut rows = 0;
        let parts = tensors.into_iter().map(|tensor| {
            assert_eq!(tensor.width(), width, "matrix: parts must have equal widths");
            let first = rows;
            rows += tensor.rows();
            Part { tensor, first }
        });
        Self { parts: parts.collect(), rows, width }
    }

    /// The parts, in row order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Number of rows: outputs of the product.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Elements per row: inputs of the product.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The largest power of two, up to 2^16, that divides the row count, half of it, and the first row of every part.
    pub fn row_alignment(&self) -> u32 {
        let ends = self.parts.iter().fold((self.rows / 2) | self.rows, |ends, part| ends | part.first);
        1 << ends.trailing_zeros().min(16)
    }

    /// Size of all parts in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.tensor.bytes()).sum()
    }
}

/// How a product is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Epilogue {
    /// The product replaces the output.
    Store = 0,
    /// The product is added to the output.
    Add = 1,
}

/// A residual stream with the norm that a product applies to it.
#[derive(Clone, Copy)]
pub struct Normed<'a> {
    /// \[T, in\] f32
    pub x: &'a Tensor,
    /// The norm over each row.
    pub norm: &'a Norm,
}

/// The operands of one product, for every matmul kernel.
pub(crate) struct Product<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) w: &'a Matrix,
    pub(crate) y: &'a mut Tensor,
    pub(crate) epilogue: Epilogue,
}
