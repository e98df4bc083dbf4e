//! Weight matrices as kernels are given them, and what is multiplied with them.

use std::ops::Range;

use crate::{
    compute::{dtype::DType, tensor::Tensor},
    kernels::rms_norm::Norm,
};

/// A weight matrix \[out, in\]: one tensor, or several that hold consecutive rows where one would exceed what a
/// backend can bind, or where rows differ in dtype.
pub struct Matrix {
    parts: Vec<Part>,
    rows: u32,
    width: u32,
}

/// Consecutive rows of a matrix.
pub struct Part {
    /// \[rows, in\]
    pub tensor: Tensor,
    /// The first of its rows in the matrix.
    pub first: u32,
}

impl Part {
    /// Its rows in the matrix.
    pub fn rows(&self) -> Range<u32> {
        self.first..self.first + self.tensor.rows()
    }
}

impl Matrix {
    /// A matrix of tensors that follow each other, equally wide.
    ///
    /// # Panics
    /// If there is none or their widths differ.
    pub fn new(tensors: Vec<Tensor>) -> Self {
        let width = tensors.first().expect("a matrix has a part").width();
        let mut rows = 0;
        let parts = tensors.into_iter().map(|tensor| {
            assert_eq!(tensor.width(), width, "matrix: widths of parts");
            let first = rows;
            rows += tensor.rows();
            Part { tensor, first }
        });
        Self { parts: parts.collect(), rows, width }
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Number of rows: outputs of the product.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Elements of a row: inputs of the product.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The largest power of two of which every part, and each half of the matrix, has whole runs of rows.
    pub fn run(&self) -> u32 {
        let ends = self.parts.iter().fold((self.rows / 2) | self.rows, |ends, part| ends | part.first);
        1 << ends.trailing_zeros().min(16)
    }

    /// Size of all parts in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.tensor.bytes()).sum()
    }
}

/// What becomes of a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Epilogue {
    /// It replaces the output.
    Store = 0,
    /// It is added to the output.
    Add = 1,
}

/// A residual stream as a product takes it: through a norm.
#[derive(Clone, Copy)]
pub struct Normed<'a> {
    /// \[T, in\] f32
    pub x: &'a Tensor,
    /// Over each of its rows.
    pub norm: &'a Norm,
    /// What products take where they do not norm their rows themselves.
    pub inputs: DType,
}

/// One product, as both kernels take it.
pub(crate) struct Product<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) w: &'a Matrix,
    pub(crate) y: &'a mut Tensor,
    pub(crate) epilogue: Epilogue,
}
