//! q, k = rope(rms_norm(q)), rope(rms_norm(k)), per head; rope rotates the first ROTARY dims, half-split:
//! y1 = x1·cos − x2·sin, y2 = x2·cos + x1·sin. Keys and values are written to the cache:
//! keys\[place(r)\] = k\[r\], values\[place(r)\] = v\[r\], place(r) = table\[position / PAGE\] · PAGE + position mod
//! PAGE.

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::{
        operands::{
            caches::{KvPages, PageTable},
            recorder::Recorder,
            step::{self, View},
        },
        rms_norm::normed,
    },
};

/// One workgroup per head and row: query heads, then key heads, then value heads.
pub static KERNEL: Kernel = Kernel {
    name: "qk_norm_rope",
    bindings: &[
        step::BINDING,
        Binding::read("tables", Element::U32),
        Binding::read("x", Element::F32),
        Binding::read("norms", Element::F32),
        Binding::read("rope", Element::F32),
        Binding::write("q", Element::F32),
        Binding::update("keys", Element::KvRows),
        Binding::update("values", Element::KvRows),
    ],
    params: &[("eps", Scalar::F32(0.0))],
    library: &["step", "pages", "reduce", "heads"],
    lanes: 64,
    source: source!("qk_norm_rope"),
    cpu,
    cost,
};

/// The norms of queries and keys.
pub struct QkNorm {
    /// \[2, D\] f32: the norm weight of each query head, then of each key head.
    pub weights: Tensor,
    /// Added to the mean squares.
    pub eps: f32,
}

/// Computes the queries, and writes keys and values to the cache. x \[T, projected\] f32, rope \[context, ROTARY\] f32
/// (cos and sin per frequency) → q \[T, Hq·D\] f32.
pub fn qk_norm_rope(r: Recorder<'_>, x: &Tensor, norm: &QkNorm, rope: &Tensor, cache: &mut KvPages) -> Tensor {
    let heads = cache.heads;
    assert_eq!(x.width(), heads.projected(), "qk_norm_rope: x");
    assert_eq!([norm.weights.rows(), norm.weights.width()], [2, heads.width], "qk_norm_rope: norms");
    cache.check(&KERNEL);
    let mut q = r.scratch([x.rows(), heads.query * heads.width], DType::F32);
    r.dispatch(&KERNEL)
        .attention_heads(heads)
        .define("ROTARY", rope.width())
        .define("SCALED", cache.scaled())
        .define("PAGE", cache.page_size)
        .define("MAX_PAGES", r.step.tables().width())
        .step(r.step)
        .read(r.step.tables())
        .read(x)
        .read(&norm.weights)
        .read(rope)
        .write(&mut q)
        .write(&mut cache.keys)
        .write(&mut cache.values)
        .param("eps", norm.eps)
        .grid([heads.query + 2 * heads.kv, x.rows(), 1]);
    q
}

/// Reads and writes queries, keys and values once. Reads the angles of each row's position, and both norm weights. One
/// multiply-add per element of queries and keys, for the mean square.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let (rows, width) = (load.rows(d), d.size("HEAD"));
    let [q, k] = ["Q_HEADS", "KV_HEADS"].map(|heads| rows * d.size(heads) * width);
    Cost {
        weights: d.bytes("norms", 2 * width),
        activations: Bytes {
            read: d.bytes("x", q + 2 * k) + d.bytes("rope", rows * d.size("ROTARY")),
            written: d.bytes("q", q),
        },
        cache: Bytes { read: 0, written: d.bytes("keys", k) + d.bytes("values", k) },
        flops: Flops::vector(q + k),
    }
}

fn cpu(g: &Group<'_>) {
    let (step, head, row) = (View::of(g), g.at(0), g.at(1));
    let [q_heads, kv_heads, width] = ["Q_HEADS", "KV_HEADS", "HEAD"].map(|name| g.define(name));
    if row >= step.active_rows() {
        return;
    }
    let first = row * 2 * (q_heads + kv_heads) * width;
    let of = |head: usize| g.f32s("x", first + head * width..first + (head + 1) * width);
    let place = PageTable::of(g, step.span_of(row).slot).place(step.position(row));
    match (head.checked_sub(q_heads), head.checked_sub(q_heads + kv_heads)) {
        (_, Some(value)) => g.store("values", (place * kv_heads + value) * width, of(q_heads + head)),
        (Some(key), _) => g.store("keys", (place * kv_heads + key) * width, &rotated(g, of(q_heads + head), 1)),
        (None, None) => {
            let y = rotated(g, of(2 * head), 0);
            g.f32s_mut("q", (row * q_heads + head) * width..(row * q_heads + head + 1) * width).copy_from_slice(&y);
        }
    }
}

/// A head of the workgroup's row after norm and rope. `norm` is 0 for queries, 1 for keys.
fn rotated(g: &Group<'_>, x: &[f32], norm: usize) -> Vec<f32> {
    let (width, rotary, position) = (x.len(), g.define("ROTARY"), View::of(g).position(g.at(1)));
    let normed = normed(x, g.floats("norms", norm * width..(norm + 1) * width), g.f32("eps"));
    let mut y = normed.clone();
    let half = rotary / 2;
    let angles = g.f32s("rope", position * rotary..(position + 1) * rotary);
    for (i, angle) in angles.chunks_exact(2).enumerate() {
        y[i] = normed[i] * angle[0] - normed[half + i] * angle[1];
        y[half + i] = normed[half + i] * angle[0] + normed[i] * angle[1];
    }
    y
}
