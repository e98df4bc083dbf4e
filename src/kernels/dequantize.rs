//! y\[first + r, k\] = w\[r, k\] as f16: the same f16 values that [`matmul_mma`](super::matmul_mma) computes itself.

use half::f16;

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        pass::Pass,
        tensor::Tensor,
    },
    kernels::operands::matrix::Part,
};

/// One workgroup per SHARE · LANES pairs of quads.
pub static KERNEL: Kernel = Kernel {
    name: "dequantize",
    bindings: &[Binding::read("w", Element::MatrixOperand), Binding::update("y", Element::MatrixOperand)],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0))],
    library: &[],
    lanes: 128,
    source: source!("dequantize"),
    cpu,
    cost,
};

/// Weights in a pair of quads.
const PAIR: u32 = 8;

/// Pairs that a lane loads together: 16 bytes of 4-bit codes.
const SHARE: u32 = 4;

/// Dequantizes all rows of a matrix part into `y` \[rows, in\] f16, from row `first` on.
pub fn dequantize(p: &Pass, part: &Part, first: u32, y: &mut Tensor) {
    let [count, inner] = [part.tensor.rows(), part.tensor.width()];
    assert!(inner.is_multiple_of(PAIR), "dequantize: row width {inner} is not a multiple of {PAIR}");
    assert!(y.width() == inner && y.rows() >= first + count && y.dtype() == DType::F16, "dequantize: output");
    p.dispatch(&KERNEL)
        .define("K", inner)
        .define("SHARE", SHARE)
        .define("W_WIDE", 2)
        .read(&part.tensor)
        .write(y)
        .param("first", first)
        .param("count", count)
        .grid([(count * (inner / PAIR)).div_ceil(SHARE * KERNEL.lanes), 1, 1]);
}

/// Reads the stored weights, writes them as f16.
fn cost(d: &Dispatch, _: &Load) -> Cost {
    let elements = d.word("count") * d.size("K");
    let activations = Bytes { read: 0, written: d.bytes("y", elements) };
    Cost { weights: d.bytes("w", elements), activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (inner, of_group) = (g.define("K"), (PAIR * SHARE * KERNEL.lanes) as usize);
    let all = g.word("count") * inner;
    let weights = g.at(0) * of_group..((g.at(0) + 1) * of_group).min(all);
    for row in weights.start / inner..weights.end.div_ceil(inner) {
        let own = weights.start.max(row * inner)..weights.end.min((row + 1) * inner);
        let (stored, written) = (row * inner, g.word("first") * inner);
        let values = g.floats("w", stored..stored + inner).to_vec();
        let words = g.words_mut("y", (written + own.start) / 2..(written + own.end) / 2);
        let f16_words = bytemuck::cast_slice_mut::<u32, f16>(words);
        f16_words
            .iter_mut()
            .zip(&values[own.start - row * inner..])
            .for_each(|(half, value)| *half = f16::from_f32(*value));
    }
}
