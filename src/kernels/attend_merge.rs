//! out\[r, h\] = Σ_i exp(m_i − m) · sum_i / Σ_i exp(m_i − m) · weight_i · sigmoid(gate\[r, h\]), over the non-empty
//! parts i

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        attend_decode::{Partials, Splits},
        operands::{
            recorder::Recorder,
            step::{self, View},
        },
        silu_mul::sigmoid,
    },
};

/// One workgroup per query head and row.
pub static KERNEL: Kernel = Kernel {
    name: "attend_merge",
    bindings: &[
        step::BINDING,
        Binding::read("sums", Element::F32),
        Binding::read("stats", Element::F32),
        Binding::read("x", Element::F32),
        Binding::write("out", Element::Activations),
    ],
    params: &[],
    library: &["step", "activations", "splits"],
    lanes: 256,
    source: source!("attend_merge"),
    cpu,
    cost,
};

/// Splits per lane at once, one quad of each: as many as fit into registers.
const AT_ONCE: u32 = 8;

/// Merges the splits of decode attention and gates the result. x \[S, projected\] f32 → \[S, Hq·D\] of type
/// `r.activations`.
pub fn attend_merge(r: Recorder<'_>, parts: &Partials, x: &Tensor) -> Tensor {
    let heads = parts.heads;
    assert_eq!(x.width(), heads.projected(), "attend_merge: x");
    let mut out = r.scratch([x.rows(), heads.query * heads.width], r.activations);
    let (quads, splits) = (heads.width / 4, parts.splits);
    // At most 8 lanes share a quad, so that little is left to merge.
    let sharers = (KERNEL.lanes / quads).min(8);
    let share = splits.max_splits.div_ceil(sharers).min(AT_ONCE);
    r.dispatch(&KERNEL)
        .define("Q_HEADS", heads.query)
        .define("HEAD", heads.width)
        .define("SPLITS", splits.max_splits)
        .define("MIN_POSITIONS", splits.min_positions)
        .define("PARTS", sharers)
        .define("SHARE", share)
        .define("ROUNDS", splits.max_splits.div_ceil(sharers * share))
        .define("STRIDE", x.width())
        .lanes(sharers * quads)
        .step(r.step)
        .read(&parts.sums)
        .read(&parts.stats)
        .read(x)
        .write(&mut out)
        .grid([heads.query, x.rows(), 1]);
    out
}

/// Reads the results of `attend_decode` and the gates. Each part adds D multiply-adds per query head and row.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let [q_heads, width] = ["Q_HEADS", "HEAD"].map(|name| d.size(name));
    let (parts, out) = (Splits::total(d, load) * q_heads, load.rows(d) * q_heads * width);
    let read = d.bytes("sums", parts * width) + d.bytes("stats", parts * 2) + d.bytes("x", out);
    Cost {
        activations: Bytes { read, written: d.bytes("out", out) },
        flops: Flops::vector(parts * width),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (head, row, splits, width) = (g.at(0), g.at(1), g.define("SPLITS"), g.define("HEAD"));
    let step = View::of(g);
    if row >= step.active_rows() {
        return;
    }
    let at = row * g.define("Q_HEADS") + head;
    let count = Splits::ranges(g, step.position(row) + 1).count();
    let stats = g.f32s("stats", 2 * at * splits..2 * (at * splits + count));
    let largest = stats.chunks_exact(2).map(|stat| stat[0]).fold(f32::NEG_INFINITY, f32::max);
    let (mut weight, mut sum) = (0.0, vec![0.0; width]);
    for (split, stat) in stats.chunks_exact(2).enumerate() {
        let scale = (stat[0] - largest).exp();
        weight += scale * stat[1];
        let part = g.floats("sums", (at * splits + split) * width..(at * splits + split + 1) * width);
        sum.iter_mut().enumerate().for_each(|(i, sum)| *sum += scale * part.get(i));
    }
    let gate = row * g.define("STRIDE") + (2 * head + 1) * width;
    let gate = g.floats("x", gate..gate + width);
    let out: Vec<f32> = sum.iter().enumerate().map(|(i, sum)| sum / weight * sigmoid(gate.get(i))).collect();
    g.store("out", at * width, &out);
}
