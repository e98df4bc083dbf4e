//! x\[r\] = table\[ids\[r\] − first\], for the ids in this part of the table.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::operands::{
        matrix::Matrix,
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per row.
pub static KERNEL: Kernel = Kernel {
    name: "embed",
    bindings: &[step::BINDING, Binding::read("table", Element::Float), Binding::update("x", Element::Float)],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0))],
    library: &["step"],
    lanes: 64,
    source: source!("embed"),
    cpu,
    cost,
};

/// The embeddings of the step's ids. table \[V, D\] → x \[T, D\] f32.
pub fn embed(r: Recorder<'_>, table: &Matrix) -> Tensor {
    let mut x = r.scratch([r.step.capacity(), table.width()], DType::F32);
    for part in table.parts() {
        r.dispatch(&KERNEL)
            .define("WIDTH", table.width())
            .step(r.step)
            .read(&part.tensor)
            .write(&mut x)
            .param("first", part.first)
            .param("count", part.tensor.rows())
            .grid([r.step.capacity(), 1, 1]);
    }
    x
}

/// Reads a table row and writes a row of x per token. The part that holds a token is not known here: the first part
/// stands for all parts.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let elements = if d.word("first") == 0 { load.rows(d) * d.size("WIDTH") } else { 0 };
    Cost {
        weights: d.bytes("table", elements),
        activations: Bytes { read: 0, written: d.bytes("x", elements) },
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (step, width, row) = (View::of(g), g.define("WIDTH"), g.at(0));
    if row >= step.active_rows() {
        return;
    }
    if let Some(id) = step.id(row).checked_sub(g.word("first")).filter(|&id| id < g.word("count")) {
        g.store("x", row * width, &g.floats("table", id * width..(id + 1) * width).to_vec());
    }
}
