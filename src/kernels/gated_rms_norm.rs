//! y\[r, h\] = o\[r, h\] / sqrt(mean(o\[r, h\]²) + eps) · weight · silu(z\[r, h\]): a plain norm, then the gate

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        kernel::{Binding, Dispatch, Element, Floats, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::{
        operands::{
            heads::DeltaHeads,
            recorder::Recorder,
            step::{self, View},
        },
        rms_norm::{Norm, inverse_rms},
        silu_mul::silu,
    },
};

/// One workgroup per value head and row.
pub static KERNEL: Kernel = Kernel {
    name: "gated_rms_norm",
    bindings: &[
        step::BINDING,
        Binding::read("o", Element::Float),
        Binding::read("x", Element::Float),
        Binding::read("weight", Element::Float),
        Binding::write("y", Element::Float),
    ],
    params: &[("eps", Scalar::F32(0.0))],
    library: &["step", "activations", "reduce"],
    lanes: 32,
    source: source!("gated_rms_norm"),
    cpu,
    cost,
};

/// Norm over each value head, gated by z.
/// o \[T, Hv·Dv\] f32, x \[T, projected\] f32 (z), weight \[1, Dv\] → \[T, Hv·Dv\] of type
/// `r.activations`.
pub fn gated_rms_norm(r: Recorder<'_>, o: &Tensor, x: &Tensor, norm: &Norm, heads: DeltaHeads) -> Tensor {
    assert_eq!([o.width(), x.width()], [heads.values(), heads.projected()], "gated_rms_norm: o, x");
    let mut y = r.scratch([o.rows(), o.width()], r.activations);
    r.dispatch(&KERNEL)
        .define("VALUE_HEADS", heads.value)
        .define("VALUE_WIDTH", heads.value_width)
        .define("STRIDE", x.width())
        .define("Z", heads.channels())
        .step(r.step)
        .read(o)
        .read(x)
        .read(&norm.weight)
        .write(&mut y)
        .param("eps", norm.eps)
        .grid([heads.value, o.rows(), 1]);
    y
}

/// Reads o, z and the weight of one head once, writes y. One multiply-add per element, for the mean square.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let width = d.size("VALUE_WIDTH");
    let elements = load.rows(d) * d.size("VALUE_HEADS") * width;
    Cost {
        weights: d.bytes("weight", width),
        activations: Bytes { read: d.bytes("o", elements) + d.bytes("x", elements), written: d.bytes("y", elements) },
        flops: Flops::vector(elements),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (head, row, heads, width) = (g.at(0), g.at(1), g.define("VALUE_HEADS"), g.define("VALUE_WIDTH"));
    if row >= View::of(g).active_rows() {
        return;
    }
    let at = (row * heads + head) * width;
    let z = row * g.define("STRIDE") + g.define("Z") + head * width;
    let (o, z, weight) =
        (g.floats("o", at..at + width).to_vec(), g.floats("x", z..z + width), g.floats("weight", 0..width));
    g.store("y", at, &gated(&o, z, weight, g.f32("eps")));
}

/// o / sqrt(mean(o²) + eps) · weight · silu(z), for one head
pub(super) fn gated(o: &[f32], z: Floats<'_>, weight: Floats<'_>, eps: f32) -> Vec<f32> {
    let scale = inverse_rms(o, eps);
    o.iter().enumerate().map(|(i, o)| o * scale * weight.get(i) * silu(z.get(i))).collect()
}
