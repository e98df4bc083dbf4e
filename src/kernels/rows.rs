//! y\[i\] = x\[outputs\[i\]\]: the rows that want logits.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        pass::Pass,
        tensor::Tensor,
    },
    kernels::operands::step::{self, Step, View},
};

/// One group an output.
pub static KERNEL: Kernel = Kernel {
    name: "rows",
    bindings: &[step::BINDING, Binding::read("x", Element::Float), Binding::write("y", Element::Float)],
    params: &[],
    library: &["step"],
    lanes: 64,
    source: source!("rows"),
    cpu,
    cost,
};

/// The rows of x \[T, D\] f32 that the step's outputs name → \[S, D\] f32. `outputs` counts outputs.
pub fn rows(p: &Pass, outputs: &Step, x: &Tensor) -> Tensor {
    let mut y = p.scratch([outputs.capacity(), x.width()], DType::F32);
    p.dispatch(&KERNEL).define("WIDTH", x.width()).step(outputs).read(x).write(&mut y).grid([outputs.capacity(), 1, 1]);
    y
}

/// A row is read and written for each output.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let elements = load.rows(d) * d.size("WIDTH");
    let activations = Bytes { read: d.bytes("x", elements), written: d.bytes("y", elements) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (step, width, i) = (View::of(g), g.define("WIDTH"), g.at(0));
    if i < step.live() {
        let row = step.output(i);
        g.store("y", i * width, &g.floats("x", row * width..(row + 1) * width).to_vec());
    }
}
