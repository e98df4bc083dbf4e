//! out\[t, h\] = Σ_s softmax_s(q\[t, h\]·k\[s\] / √D) · v\[s\] · sigmoid(gate\[t, h\]),
//! s ≤ position of t, over a paged cache.

use std::ops::Range;

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        attend_decode::attend,
        operands::{
            caches::KvPages,
            recorder::Recorder,
            step::{self, Span, TILE, View},
        },
        silu_mul::sigmoid,
    },
};

/// One workgroup per query head and tile of one sequence's rows. It takes keys tile by tile, with a running softmax.
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

/// Gated causal attention of many rows; shapes as in [`crate::ops::attention::attend_prefill`].
pub(crate) fn attend_prefill(r: Recorder<'_>, q: &Tensor, x: &Tensor, cache: &KvPages) -> Tensor {
    let heads = cache.heads;
    let quads = heads.width / 4;
    // Quads that a lane stages per slice of the head, and blocks of 4 rows that it sums.
    let (fetches, blocks) = (TILE * quads.min(8) / KERNEL.lanes, (TILE / 4).div_ceil(KERNEL.lanes / quads));
    let mut out = r.scratch([q.rows(), q.width()], r.activations);
    r.dispatch(&KERNEL)
        .attention_heads(heads)
        .define("PAGE", cache.page_size)
        .define("MAX_PAGES", r.step.tables().width())
        .define("FETCHES", fetches)
        .define("BLOCKS_PER_LANE", blocks)
        .step(r.step)
        .read(r.step.tables())
        .read(q)
        .read(&cache.keys)
        .read(&cache.values)
        .read(x)
        .write(&mut out)
        .grid([heads.query, r.step.tiles(), 1]);
    out
}

/// Reads every key and value of every sequence once, also those of this step. Two sums of D multiply-adds per query
/// head and pair of row and attended token: q·k, and weight · v. They count as f16 if the cache and the output are f16,
/// whatever the type of the queries.
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

/// Some rows of a span, for the query head at the workgroup's first coordinate.
pub(super) fn rows(g: &Group<'_>, span: Span, offsets: Range<usize>) {
    let (q_heads, kv_heads, width, head) = (g.define("Q_HEADS"), g.define("KV_HEADS"), g.define("HEAD"), g.at(0));
    for offset in offsets {
        let (row, position) = (span.row as usize + offset, span.position as usize + offset);
        let partial = attend(g, row, head, span.slot, 0..position + 1);
        let gate = row * 2 * (q_heads + kv_heads) * width + (2 * head + 1) * width;
        let gate = g.floats("x", gate..gate + width);
        let out: Vec<f32> =
            partial.sum.iter().enumerate().map(|(i, sum)| sum / partial.weight * sigmoid(gate.get(i))).collect();
        g.store("out", (row * q_heads + head) * width, &out);
    }
}
