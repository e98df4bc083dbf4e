//! out\[t, h\] = Σ_s softmax_s(q\[t, h\]·k\[s\] / √D) · v\[s\] · sigmoid(gate\[t, h\]), s ≤ position of t, over a paged cache.

use std::ops::Range;

use crate::{
    cache::Blocks,
    cost::{Bytes, Cost, Load},
    cpu::Group,
    dtype::DType,
    kernels::{
        attend_decode::attend,
        attend_mma::{Squares, attend_mma},
        qk_norm_rope::Heads,
        silu_mul::sigmoid,
    },
    pass::{Binding, Dispatch, Element, Kernel, Pass},
    step::{self, Span, Step, TILE, View},
    tensor::Tensor,
};

/// One group a query head and tile of one sequence's rows; keys pass by in tiles, with a running softmax.
pub static KERNEL: Kernel = Kernel {
    name: "attend_prefill",
    bindings: &[
        step::BINDING,
        Binding::read("tables", Element::U32),
        Binding::read("q", Element::Float),
        Binding::read("keys", Element::Float),
        Binding::read("values", Element::Float),
        Binding::read("x", Element::Float),
        Binding::write("out", Element::Float),
    ],
    params: &[],
    library: &["step", "pages", "activations"],
    lanes: 128,
    source: source!("attend_prefill"),
    cpu,
    cost,
};

/// What attention of many rows takes.
#[derive(Clone, Copy)]
pub(super) struct Attend<'a> {
    pub(super) q: &'a Tensor,
    pub(super) x: &'a Tensor,
    pub(super) cache: &'a Blocks,
    pub(super) heads: Heads,
    pub(super) dtype: DType,
}

/// Gated causal attention of many rows, by matrix units where they suit. q \[T, Hq·D\] f32, x \[T, projected\] f32 (gates) → \[T, Hq·D\] of `dtype`.
pub fn attend_prefill(
    p: &Pass,
    step: &Step,
    (q, x): (&Tensor, &Tensor),
    cache: &Blocks,
    (heads, dtype): (Heads, DType),
) -> Tensor {
    assert_eq!([q.width(), x.width()], [heads.query * heads.width, heads.projected()], "attend_prefill: q, x");
    heads.check(&KERNEL);
    cache.check(&KERNEL, heads);
    if let Some(squares) = Squares::fit(p.caps(), cache, (heads, dtype)) {
        return attend_mma(p, step, Attend { q, x, cache, heads, dtype }, squares);
    }
    let quads = heads.width / 4;
    // What a lane stages of a slice of the head, and how many blocks of 4 rows it sums.
    let (fetches, blocks) = (TILE * quads.min(8) / KERNEL.lanes, (TILE / 4).div_ceil(KERNEL.lanes / quads));
    let mut out = p.scratch([q.rows(), q.width()], dtype);
    p.dispatch(&KERNEL)
        .define("Q_HEADS", heads.query)
        .define("KV_HEADS", heads.kv)
        .define("HEAD", heads.width)
        .define("BLOCK", cache.block)
        .define("MAX_BLOCKS", step.tables().width())
        .define("FETCHES", fetches)
        .define("BLOCKS_PER_LANE", blocks)
        .step(step)
        .read(step.tables())
        .read(q)
        .read(&cache.keys)
        .read(&cache.values)
        .read(x)
        .write(&mut out)
        .grid([heads.query, step.tiles(), 1]);
    out
}

/// Every key and value of every sequence is read once, also those of this step. A query head takes two sums of D
/// multiply-adds for each pair of a row and a token that it attends to: q·k, and weight · v. They are half precision's
/// where what is kept and what comes out are, whatever the queries come in.
pub(super) fn cost(d: &Dispatch, load: &Load) -> Cost {
    let [q_heads, kv_heads, width] = ["Q_HEADS", "KV_HEADS", "HEAD"].map(|name| d.size(name));
    let (kept, out) = (load.context() * kv_heads * width, load.rows(d) * q_heads * width);
    Cost {
        activations: Bytes { read: d.bytes("q", out) + d.bytes("x", out), written: d.bytes("out", out) },
        cache: Bytes { read: d.bytes("keys", kept) + d.bytes("values", kept), written: 0 },
        flops: d.product(["keys", "out"], 2 * load.pairs() * q_heads * width),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    if let Some((span, offsets)) = View::of(g).tile(g.at(1)) {
        rows(g, span, offsets);
    }
}

/// Some rows of a span, for the query head that is the group's first coordinate.
pub(super) fn rows(g: &Group<'_>, span: Span, offsets: Range<usize>) {
    let (q_heads, kv_heads, width, head) = (g.define("Q_HEADS"), g.define("KV_HEADS"), g.define("HEAD"), g.at(0));
    for offset in offsets {
        let (row, position) = (span.row as usize + offset, span.position as usize + offset);
        let partial = attend(g, (row, head), span.slot, 0..position + 1);
        let gate = row * 2 * (q_heads + kv_heads) * width + (2 * head + 1) * width;
        let gate = g.floats(5, gate..gate + width);
        let out: Vec<f32> =
            partial.sum.iter().enumerate().map(|(i, sum)| sum / partial.weight * sigmoid(gate.get(i))).collect();
        g.store(6, (row * q_heads + head) * width, &out);
    }
}
