//! decay\[t, h\] = −exp(a_log\[h\]) · softplus(a\[t, h\] + dt_bias\[h\]) (a logarithm), rate\[t, h\] = sigmoid(b\[t, h\])

use crate::{
    cost::{Bytes, Cost, Load},
    cpu::Group,
    dtype::DType,
    kernels::{gdn_conv::Heads, silu_mul::sigmoid},
    pass::{Binding, Dispatch, Element, Kernel, Pass},
    step::{self, Step, View},
    tensor::Tensor,
};

/// One group a row.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_gates",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::F32),
        Binding::read("a_dt", Element::F32),
        Binding::write("gates", Element::F32),
    ],
    params: &[],
    library: &["step", "activations"],
    lanes: 32,
    source: source!("gdn_gates"),
    cpu,
    cost,
};

/// Log decays and write rates. x \[T, projected\] f32 (b and a come last), a_dt \[2, Hv\] f32 (a_log, dt_bias) →
/// \[T, 2·Hv\] f32.
pub fn gdn_gates(p: &Pass, step: &Step, x: &Tensor, a_dt: &Tensor, heads: Heads) -> Tensor {
    assert_eq!(x.width(), heads.projected(), "gdn_gates: x");
    assert_eq!([a_dt.rows(), a_dt.width()], [2, heads.value], "gdn_gates: a_dt");
    let mut gates = p.scratch([x.rows(), 2 * heads.value], DType::F32);
    p.dispatch(&KERNEL)
        .define("VALUE_HEADS", heads.value)
        .define("STRIDE", x.width())
        .step(step)
        .read(x)
        .read(a_dt)
        .write(&mut gates)
        .grid([x.rows(), 1, 1]);
    gates
}

/// a and b are read and two gates are written, for each row and value head.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let heads = d.size("VALUE_HEADS");
    let gates = load.rows(d) * 2 * heads;
    Cost {
        weights: d.bytes("a_dt", 2 * heads),
        activations: Bytes { read: d.bytes("x", gates), written: d.bytes("gates", gates) },
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (row, heads, stride) = (g.at(0), g.define("VALUE_HEADS"), g.define("STRIDE"));
    if row >= View::of(g).live() {
        return;
    }
    let (a_log, dt_bias) = g.singles(2, 0..2 * heads).split_at(heads);
    let (b, a) = g.singles(1, (row + 1) * stride - 2 * heads..(row + 1) * stride).split_at(heads);
    let (decays, rates) = g.singles_mut(3, row * 2 * heads..(row + 1) * 2 * heads).split_at_mut(heads);
    for head in 0..heads {
        decays[head] = log_decay(a_log[head], a[head] + dt_bias[head]);
        rates[head] = sigmoid(b[head]);
    }
}

/// −exp(a_log) · softplus(a)
pub(super) fn log_decay(a_log: f32, a: f32) -> f32 {
    -a_log.exp() * softplus(a)
}

/// ln(1 + exp(a)), without overflow on either side.
fn softplus(a: f32) -> f32 {
    a.max(0.0) + (-a.abs()).exp().ln_1p()
}
