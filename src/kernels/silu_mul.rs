//! y\[r, i\] = silu(x\[r, i\]) · x\[r, WIDTH + i\], silu(a) = a / (1 + exp(−a))

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::operands::{
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per LANES quads of one row.
pub static KERNEL: Kernel = Kernel {
    name: "silu_mul",
    bindings: &[step::BINDING, Binding::read("x", Element::Float), Binding::write("y", Element::Float)],
    params: &[],
    library: &["step", "activations"],
    lanes: 128,
    source: source!("silu_mul"),
    cpu,
    cost,
};

/// The gated half of an MLP. x \[T, 2·I\] f32, gate first → \[T, I\] of type `r.activations`.
pub fn silu_mul(r: Recorder<'_>, x: &Tensor) -> Tensor {
    let width = x.width() / 2;
    let mut y = r.scratch([x.rows(), width], r.activations);
    let groups = (width / 4).div_ceil(KERNEL.lanes);
    r.dispatch(&KERNEL).define("WIDTH", width).step(r.step).read(x).write(&mut y).grid([groups, x.rows(), 1]);
    y
}

/// Reads both halves of x, writes y.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let elements = load.rows(d) * d.size("WIDTH");
    let activations = Bytes { read: d.bytes("x", 2 * elements), written: d.bytes("y", elements) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (step, width, row) = (View::of(g), g.define("WIDTH"), g.at(1));
    let first = g.at(0) * 4 * KERNEL.lanes as usize;
    let count = (4 * KERNEL.lanes as usize).min(width - first);
    if row < step.active_rows() {
        let half =
            |half: usize| g.floats("x", (2 * row + half) * width + first..(2 * row + half) * width + first + count);
        let (gate, up) = (half(0), half(1));
        let y: Vec<f32> = (0..count).map(|i| silu(gate.get(i)) * up.get(i)).collect();
        g.store("y", row * width + first, &y);
    }
}

/// a / (1 + exp(−a))
pub(crate) fn silu(a: f32) -> f32 {
    a * sigmoid(a)
}

/// 1 / (1 + exp(−a))
pub(crate) fn sigmoid(a: f32) -> f32 {
    1.0 / (1.0 + (-a).exp())
}
