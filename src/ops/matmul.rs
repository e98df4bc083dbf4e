//! Products with weight matrices: chooses the kernels for the device.

use crate::{
    compute::{caps::DequantizeFirst, dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{
        dequantize::dequantize,
        matmul,
        matmul_mma::{self, Rows, matmul_mma},
        matvec,
        norm_matvec::norm_matvec,
        norm_swiglu,
        operands::{
            matrix::{Epilogue, Matrix, Normed, Part, Product},
            step::{self, Step},
        },
        rms_norm::rms_norm,
        silu_mul::silu_mul,
    },
};

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

/// y = norm(x) · wᵀ. w \[out, in\] → \[T, out\] f32.
pub fn norm_matmul(p: &Pass, step: &Step, h: Normed<'_>, w: &Matrix) -> Tensor {
    let mut y = p.scratch([h.x.rows(), w.rows()], DType::F32);
    norm_matmul_into(p, step, h, w, &mut y);
    y
}

/// y = norm(x) · wᵀ into a tensor that outlives the recording.
pub fn norm_matmul_into(p: &Pass, step: &Step, h: Normed<'_>, w: &Matrix, y: &mut Tensor) {
    match step.rows() {
        step::Rows::Many => matmul_into(p, step, &rms_norm(p, step, h.x, h.norm, h.inputs), w, y),
        step::Rows::Few => {
            check([h.x, y], w);
            norm_matvec(p, step, h, w, y);
        }
    }
}

/// The gated half of an MLP: silu(norm(x) · gateᵀ) · (norm(x) · upᵀ). gate, then up: \[2·I, in\] → \[T, I\] of type
/// `h.inputs`.
pub fn norm_swiglu(p: &Pass, step: &Step, h: Normed<'_>, gate_up: &Matrix) -> Tensor {
    match step.rows() {
        step::Rows::Many => silu_mul(p, step, &norm_matmul(p, step, h, gate_up), h.inputs),
        step::Rows::Few => norm_swiglu::norm_swiglu(p, step, h, gate_up),
    }
}

/// The row type for a product with `w`, from a producer that writes runs of `run` elements. Many rows: `inputs`. Few
/// rows: packed if the product would pack them itself, so that packing is done once; else `inputs`.
pub fn takes(p: &Pass, step: &Step, w: &Matrix, (inputs, run): (DType, u32)) -> DType {
    match step.rows() {
        step::Rows::Many => inputs,
        step::Rows::Few => matvec::takes(p.caps(), w, (inputs, run)),
    }
}

fn product(p: &Pass, step: &Step, mut product: Product<'_>) {
    let Product { x, w, y, .. } = &product;
    let w = *w;
    check([x, y], w);
    // Choose by the kind of rows, not by their number: the sum of a row must not depend on the other rows of the batch.
    match step.rows() {
        step::Rows::Many => {
            let on_units = |part: &Part| matmul_mma::fits(p.caps(), product.x.dtype(), part);
            for parts in w.parts().chunk_by(|a, b| on_units(a) == on_units(b)) {
                match on_units(&parts[0]) {
                    true => on_matrix_units(p, step, &mut product, parts),
                    false => parts.iter().for_each(|part| matmul::matmul(p, step, &mut product, part)),
                }
            }
        }
        step::Rows::Few => matvec::matvec(p, step, product),
    }
}

/// The product with consecutive parts of a matrix on matrix units. Weights become f16 before the kernel or in it, with
/// the same bits.
fn on_matrix_units(p: &Pass, step: &Step, product: &mut Product<'_>, parts: &[Part]) {
    let limits = p.caps().tiles.dequantize_first;
    if !is_dequantized_first(product.x.rows(), parts, limits) {
        parts.iter().for_each(|part| matmul_mma(p, step, product, &Rows::Stored(part)));
        return;
    }
    let rows = parts[0].first..parts[parts.len() - 1].rows().end;
    let mut f16_words = p.shared_scratch([rows.len() as u32, product.w.width()], DType::F16);
    parts.iter().for_each(|part| dequantize(p, part, part.first - rows.start, &mut f16_words));
    matmul_mma(p, step, product, &Rows::Dequantized(&f16_words, rows));
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
