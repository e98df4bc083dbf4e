//! y\[r, i\] = x\[r, i\] / sqrt(mean(x\[r\]²) + eps) · (1 + weight\[i\])

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        kernel::{Binding, Dispatch, Element, Floats, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::operands::{
        matrix::Normed,
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per row.
pub static KERNEL: Kernel = Kernel {
    name: "rms_norm",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Float),
        Binding::read("weight", Element::Float),
        Binding::write("y", Element::Float),
    ],
    params: &[("eps", Scalar::F32(0.0))],
    library: &["step", "reduce"],
    lanes: 256,
    source: source!("rms_norm"),
    cpu,
    cost,
};

/// A zero-centered norm over each row. x \[T, D\] f32, weight \[1, D\] → \[T, D\] of type `r.activations`.
pub fn rms_norm(r: Recorder<'_>, x: &Tensor, norm: &Norm) -> Tensor {
    let mut y = r.scratch([x.rows(), x.width()], r.activations);
    rms_norm_into(r, x, norm, &mut y);
    y
}

/// The same norm, written to y \[T, D\] of any float type.
pub fn rms_norm_into(r: Recorder<'_>, x: &Tensor, norm: &Norm, y: &mut Tensor) {
    assert_eq!(x.width(), norm.weight.width(), "rms_norm: weight");
    assert_eq!([x.rows(), x.width()], [y.rows(), y.width()], "rms_norm: y");
    r.dispatch(&KERNEL)
        .define("WIDTH", x.width())
        .step(r.step)
        .read(x)
        .read(&norm.weight)
        .write(y)
        .param("eps", norm.eps)
        .grid([x.rows(), 1, 1]);
}

/// A norm's weight and its epsilon.
pub struct Norm {
    /// \[1, width\], as stored.
    pub weight: Tensor,
    /// Added to the mean square.
    pub eps: f32,
}

impl Norm {
    /// norm(x), for a product that applies the norm to its rows.
    pub fn of<'a>(&'a self, x: &'a Tensor) -> Normed<'a> {
        Normed { x, norm: self }
    }
}

/// Reads x and the weight once, writes y. One multiply-add per element, for the mean square.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let width = d.size("WIDTH");
    let elements = load.rows(d) * width;
    Cost {
        weights: d.bytes("weight", width),
        activations: Bytes { read: d.bytes("x", elements), written: d.bytes("y", elements) },
        flops: Flops::vector(elements),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (step, width, row) = (View::of(g), g.define("WIDTH"), g.at(0));
    if row >= step.active_rows() {
        return;
    }
    let x = g.floats("x", row * width..(row + 1) * width).to_vec();
    g.store("y", row * width, &normed(&x, g.floats("weight", 0..width), g.f32("eps")));
}

/// x / sqrt(mean(x²) + eps) · (1 + weight), for one row
pub(super) fn normed(x: &[f32], weight: Floats<'_>, eps: f32) -> Vec<f32> {
    let scale = inverse_rms(x, eps);
    x.iter().enumerate().map(|(i, x)| x * scale * (1.0 + weight.get(i))).collect()
}

/// 1 / sqrt(mean(x²) + eps)
pub(crate) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    (x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32 + eps).sqrt().recip()
}
