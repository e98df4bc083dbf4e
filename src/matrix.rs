//! Weight matrices, and products with them.

use crate::{
    dtype::DType,
    kernels::{matmul, matmul_mma, matvec},
    pass::Pass,
    step::{Kind, Step},
    tensor::Tensor,
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

/// y = x · wᵀ. x \[T, in\], w \[out, in\] → \[T, out\] f32.
pub fn matmul(p: &Pass, step: &Step, x: &Tensor, w: &Matrix) -> Tensor {
    let mut y = p.scratch([x.rows(), w.rows()], DType::F32);
    product(p, step, Product { x, w, y: &mut y, epilogue: Epilogue::Store });
    y
}

/// y = x · wᵀ into a tensor that outlives the recording.
pub fn matmul_into(p: &Pass, step: &Step, x: &Tensor, w: &Matrix, y: &mut Tensor) {
    product(p, step, Product { x, w, y, epilogue: Epilogue::Store });
}

/// y += x · wᵀ. x \[T, in\], w \[out, in\], y \[T, out\] f32.
pub fn matmul_add(p: &Pass, step: &Step, y: &mut Tensor, x: &Tensor, w: &Matrix) {
    product(p, step, Product { x, w, y, epilogue: Epilogue::Add });
}

/// One product, as both kernels take it.
pub(crate) struct Product<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) w: &'a Matrix,
    pub(crate) y: &'a mut Tensor,
    pub(crate) epilogue: Epilogue,
}

fn product(p: &Pass, step: &Step, mut product: Product<'_>) {
    let Product { x, w, y, .. } = &product;
    let w = *w;
    assert_eq!(x.width(), w.width(), "matmul: inner width");
    assert!(x.rows() <= y.rows() && w.rows() == y.width(), "matmul: output");
    // By what the rows are and not by how many there happen to be: a row's sum must not depend on its company.
    match step.kind() {
        Kind::Prompt => w.parts().iter().for_each(|part| match matmul_mma::fits(p.caps(), &product, part) {
            true => matmul_mma::matmul_mma(p, step, &mut product, part),
            false => matmul::matmul(p, step, &mut product, part),
        }),
        Kind::Decode => matvec::matvec(p, step, product),
    }
}
