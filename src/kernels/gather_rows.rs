//! y\[i\] = x\[outputs\[i\]\]: gathers the rows with logits.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::operands::{
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per output.
pub static KERNEL: Kernel = Kernel {
    name: "gather_rows",
    bindings: &[step::BINDING, Binding::read("x", Element::Float), Binding::write("y", Element::Float)],
    params: &[],
    library: &["step"],
    lanes: 64,
    source: source!("gather_rows"),
    cpu,
    cost,
};

/// The output rows of x \[T, D\] f32 → \[S, D\] f32. `outputs` is a step that counts outputs.
pub fn gather_rows(r: Recorder<'_>, x: &Tensor) -> Tensor {
    let mut y = r.scratch([r.step.capacity(), x.width()], DType::F32);
    r.dispatch(&KERNEL).define("WIDTH", x.width()).step(r.step).read(x).write(&mut y).grid([r.step.capacity(), 1, 1]);
    y
}

/// Reads and writes one row per output.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let elements = load.rows(d) * d.size("WIDTH");
    let activations = Bytes { read: d.bytes("x", elements), written: d.bytes("y", elements) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (step, width, i) = (View::of(g), g.define("WIDTH"), g.at(0));
    if i < step.active_rows() {
        let row = step.output(i);
        g.store("y", i * width, &g.floats("x", row * width..(row + 1) * width).to_vec());
    }
}
