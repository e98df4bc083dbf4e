//! q, k = rope(rms_norm(q)), rope(rms_norm(k)), per head; rope turns the first ROTARY dims, half-split:
//! y1 = x1·cos − x2·sin, y2 = x2·cos + x1·sin.

use crate::{
    cost::{Bytes, Cost, Flops, Load},
    cpu::Group,
    dtype::DType,
    kernels::rms_norm::{Norm, inverse_rms},
    pass::{Binding, Dispatch, Element, Kernel, Pass, Scalar},
    step::{self, Step, View},
    tensor::Tensor,
};

/// One group a head and row, query heads first.
pub static KERNEL: Kernel = Kernel {
    name: "qk_norm_rope",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::F32),
        Binding::read("q_norm", Element::Float),
        Binding::read("k_norm", Element::Float),
        Binding::read("rope", Element::F32),
        Binding::write("q", Element::F32),
        Binding::write("k", Element::F32),
    ],
    params: &[("eps", Scalar::F32(0.0))],
    library: &["step", "reduce"],
    lanes: 64,
    source: source!("qk_norm_rope"),
    cpu,
    cost,
};

/// The heads of an attention layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heads {
    /// Query heads.
    pub query: u32,
    /// Key and value heads.
    pub kv: u32,
    /// Width of a head.
    pub width: u32,
}

impl Heads {
    /// Asserts what the shaders of attention share out over their lanes.
    pub(super) fn check(self, kernel: &Kernel) {
        let width = self.width.is_power_of_two() && (16..=512).contains(&self.width);
        assert!(width && self.query.is_multiple_of(self.kv), "{}: {self:?}", kernel.name);
    }

    /// Width of the projections: for each query head its query and its gate, then keys, then values.
    pub fn projected(self) -> u32 {
        2 * (self.query + self.kv) * self.width
    }
}

/// The norms of queries and keys, and the table of angles.
pub struct QkNorm {
    /// Over each query head.
    pub query: Norm,
    /// Over each key head.
    pub key: Norm,
}

/// Queries and keys from the projections. x \[T, projected\] f32, rope \[context, ROTARY\] f32 (cos, sin for each
/// frequency) → q \[T, Hq·D\], k \[T, Hkv·D\] f32.
pub fn qk_norm_rope(p: &Pass, step: &Step, x: &Tensor, norm: &QkNorm, (rope, heads): (&Tensor, Heads)) -> [Tensor; 2] {
    assert_eq!(x.width(), heads.projected(), "qk_norm_rope: x");
    let new = |count: u32| p.scratch([x.rows(), count * heads.width], DType::F32);
    let (mut q, mut k) = (new(heads.query), new(heads.kv));
    p.dispatch(&KERNEL)
        .define("Q_HEADS", heads.query)
        .define("KV_HEADS", heads.kv)
        .define("HEAD", heads.width)
        .define("ROTARY", rope.width())
        .step(step)
        .read(x)
        .read(&norm.query.weight)
        .read(&norm.key.weight)
        .read(rope)
        .write(&mut q)
        .write(&mut k)
        .param("eps", norm.query.eps)
        .grid([heads.query + heads.kv, x.rows(), 1]);
    [q, k]
}

/// Queries and keys pass once; the angles of each row's position and the weights of one head each are read. A
/// multiply-add of the mean square for each element.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let (rows, width) = (load.rows(d), d.size("HEAD"));
    let [q, k] = ["Q_HEADS", "KV_HEADS"].map(|heads| rows * d.size(heads) * width);
    Cost {
        weights: d.bytes("q_norm", width) + d.bytes("k_norm", width),
        activations: Bytes {
            read: d.bytes("x", q + k) + d.bytes("rope", rows * d.size("ROTARY")),
            written: d.bytes("q", q) + d.bytes("k", k),
        },
        flops: Flops::vector(q + k),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (step, head, row) = (View::of(g), g.at(0), g.at(1));
    let [q_heads, kv_heads, width, rotary] = ["Q_HEADS", "KV_HEADS", "HEAD", "ROTARY"].map(|name| g.define(name));
    if row >= step.live() {
        return;
    }
    let key = head.checked_sub(q_heads);
    let within = key.map_or(2 * head * width, |key| (2 * q_heads + key) * width);
    let first = row * 2 * (q_heads + kv_heads) * width + within;
    let x = g.singles(1, first..first + width);
    let weight = g.floats(if key.is_some() { 3 } else { 2 }, 0..width);
    let scale = inverse_rms(x, g.single("eps"));
    let normed: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * scale * (1.0 + weight.get(i))).collect();
    let y = match key {
        Some(key) => g.singles_mut(6, (row * kv_heads + key) * width..(row * kv_heads + key + 1) * width),
        None => g.singles_mut(5, (row * q_heads + head) * width..(row * q_heads + head + 1) * width),
    };
    y.copy_from_slice(&normed);
    let angles = g.singles(4, step.position(row) * rotary..(step.position(row) + 1) * rotary);
    let half = rotary / 2;
    for (i, angle) in angles.chunks_exact(2).enumerate() {
        y[i] = normed[i] * angle[0] - normed[half + i] * angle[1];
        y[half + i] = normed[half + i] * angle[0] + normed[i] * angle[1];
    }
}
