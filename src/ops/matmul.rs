//! Products with weight matrices: chooses the kernels for the device.

use crate::{
    compute::{caps::DequantizeFirst, dtype::DType, tensor::Tensor},
    kernels::{
        dequantize::dequantize,
        matmul,
        matmul_mma::{self, Weights, matmul_mma},
        matvec,
        norm_matvec::norm_matvec,
        norm_swiglu,
        operands::{
            matrix::{Epilogue, Matrix, Normed, Part, Product},
            recorder::Recorder,
            step::Rows,
        },
        rms_norm::rms_norm,
        silu_mul::silu_mul,
    },
};

/// The product that reads an operation's result: its weights decide the type of the rows.
#[derive(Clone, Copy)]
pub struct For<'a>(pub &'a Matrix);

impl For<'_> {
    /// A recorder for a producer that writes runs of `alignment` elements. Few rows are packed if the product would
    /// pack them itself, so that packing is done once.
    pub fn recorder(self, r: Recorder<'_>, alignment: u32) -> Recorder<'_> {
        match r.rows() {
            Rows::Many => r,
            Rows::Few => r.with_activations(matvec::activation_type(r, self.0, alignment)),
        }
    }
}

/// y = x · wᵀ. x \[T, in\], w \[out, in\] → \[T, out\] f32.
pub fn matmul(r: Recorder<'_>, x: &Tensor, w: &Matrix) -> Tensor {
    let mut y = r.scratch([x.rows(), w.rows()], DType::F32);
    product(r, Product { x, w, y: &mut y, epilogue: Epilogue::Store });
    y
}

/// y = x · wᵀ into a tensor that outlives the recording.
pub fn matmul_into(r: Recorder<'_>, x: &Tensor, w: &Matrix, y: &mut Tensor) {
    product(r, Product { x, w, y, epilogue: Epilogue::Store });
}

/// y += x · wᵀ. x \[T, in\], w \[out, in\], y \[T, out\] f32.
pub fn matmul_add(r: Recorder<'_>, y: &mut Tensor, x: &Tensor, w: &Matrix) {
    product(r, Product { x, w, y, epilogue: Epilogue::Add });
}

/// y = norm(x) · wᵀ. w \[out, in\] → \[T, out\] f32.
pub fn norm_matmul(r: Recorder<'_>, h: Normed<'_>, w: &Matrix) -> Tensor {
    let mut y = r.scratch([h.x.rows(), w.rows()], DType::F32);
    norm_matmul_into(r, h, w, &mut y);
    y
}

/// y = norm(x) · wᵀ into a tensor that outlives the recording.
pub fn norm_matmul_into(r: Recorder<'_>, h: Normed<'_>, w: &Matrix, y: &mut Tensor) {
    match r.rows() {
        Rows::Many => matmul_into(r, &rms_norm(r, h.x, h.norm), w, y),
        Rows::Few => {
            check([h.x, y], w);
            norm_matvec(r, h, w, y);
        }
    }
}

/// The gated half of an MLP: silu(norm(x) · gateᵀ) · (norm(x) · upᵀ), for the product with `down`. gate, then up:
/// \[2·I, in\] → \[T, I\].
pub fn norm_swiglu(r: Recorder<'_>, h: Normed<'_>, gate_up: &Matrix, down: For<'_>) -> Tensor {
    match r.rows() {
        Rows::Many => silu_mul(r, &norm_matmul(r, h, gate_up)),
        Rows::Few => norm_swiglu::norm_swiglu(down.recorder(r, gate_up.row_alignment()), h, gate_up),
    }
}

fn product(r: Recorder<'_>, mut product: Product<'_>) {
    let Product { x, w, y, .. } = &product;
    let w = *w;
    check([x, y], w);
    // Choose by the kind of rows, not by their number: the sum of a row must not depend on the other rows of the batch.
    match r.rows() {
        Rows::Many => {
            let on_units = |part: &Part| matmul_mma::fits(r.caps(), product.x.dtype(), part);
            for parts in w.parts().chunk_by(|a, b| on_units(a) == on_units(b)) {
                match on_units(&parts[0]) {
                    true => on_matrix_units(r, &mut product, parts),
                    false => parts.iter().for_each(|part| matmul::matmul(r, &mut product, part)),
                }
            }
        }
        Rows::Few => matvec::matvec(r, product),
    }
}

/// The product with consecutive parts of a matrix on matrix units. Weights become f16 before the kernel or in it, with
/// the same bits.
fn on_matrix_units(r: Recorder<'_>, product: &mut Product<'_>, parts: &[Part]) {
    let limits = r.caps().tiles.dequantize_first;
    if !is_dequantized_first(product.x.rows(), parts, limits) {
        parts.iter().for_each(|part| matmul_mma(r, product, &Weights::Stored(part)));
        return;
    }
    let rows = parts[0].first..parts[parts.len() - 1].rows().end;
    let mut f16_words = r.pass.shared_scratch([rows.len() as u32, product.w.width()], DType::F16);
    parts.iter().for_each(|part| dequantize(r.pass, part, part.first - rows.start, &mut f16_words));
    matmul_mma(r, product, &Weights::Dequantized(&f16_words, rows));
}

/// Maximum scratch bytes of a prefill product of `rows` rows with `w` on matrix units.
pub fn dequantized_bytes(w: &Matrix, rows: u32, limits: Option<DequantizeFirst>) -> u64 {
    let suits_matrix_units = |part: &Part| part.tensor.dtype().suits_matrix_units();
    let runs = w.parts().chunk_by(|a, b| suits_matrix_units(a) == suits_matrix_units(b));
    let dequantized = runs.filter(|parts| is_dequantized_first(rows, parts, limits));
    let bytes = |parts: &[Part]| parts.iter().map(|part| DType::F16.size([part.tensor.rows(), w.width()])).sum();
    dequantized.map(bytes).max().unwrap_or(0)
}

/// Whether converting the parts to f16 first pays off for this number of rows.
fn is_dequantized_first(rows: u32, parts: &[Part], limits: Option<DequantizeFirst>) -> bool {
    let weights: u64 = parts.iter().map(|part| u64::from(part.tensor.rows()) * u64::from(part.tensor.width())).sum();
    let quantized = parts.iter().any(|part| part.tensor.dtype().is_quantized());
    quantized && limits.is_some_and(|limits| rows >= limits.rows && weights <= limits.weights.into())
}

fn check([x, y]: [&Tensor; 2], w: &Matrix) {
    assert_eq!(x.width(), w.width(), "matmul: inner width");
    assert!(x.rows() <= y.rows() && w.rows() == y.width(), "matmul: output");
}
