//! Attention of one row per sequence, in up to SPLITS parts of its context. Per part: the largest score,
//! Σ exp(score − largest), and Σ exp(score − largest) · v. `attend_merge` merges the parts.

use std::ops::Range;

use crate::{
    compute::{
        caps::Caps,
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::operands::{
        caches::{KvPages, PageTable},
        heads::AttentionHeads,
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per key head, split and row, for all query heads of the key head.
pub static KERNEL: Kernel = Kernel {
    name: "attend_decode",
    bindings: &[
        step::BINDING,
        Binding::read("tables", Element::U32),
        Binding::read("q", Element::Vec16B),
        Binding::read("keys", Element::Vec16B),
        Binding::read("values", Element::Vec16B),
        Binding::write("sums", Element::F32),
        Binding::write("stats", Element::F32),
    ],
    params: &[],
    library: &["step", "pages", "pieces", "splits", "sums"],
    lanes: 256,
    source: source!("attend_decode"),
    cpu,
    cost,
};

/// How a context is split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Splits {
    /// Maximum number of parts, for every context length.
    pub(super) max_splits: u32,
    /// Minimum number of positions per part.
    pub(super) min_positions: u32,
}

impl Splits {
    fn of(d: &Dispatch) -> Self {
        Self { max_splits: d.define("SPLITS"), min_positions: d.define("MIN_POSITIONS") }
    }

    /// Positions per part. The last part may have fewer; the parts after it are empty.
    fn share(self, context: u64) -> u64 {
        context.div_ceil(self.max_splits.into()).max(self.min_positions.into())
    }

    /// Number of parts that are not empty.
    fn count(self, context: u64) -> u64 {
        context.div_ceil(self.share(context))
    }

    /// Number of non-empty parts of all sequences of a load.
    pub(super) fn total(d: &Dispatch, load: &Load) -> u64 {
        load.contexts().map(|context| Self::of(d).count(context)).sum()
    }

    /// The positions of each part of a context of this length.
    pub(super) fn ranges(g: &Group<'_>, context: usize) -> impl Iterator<Item = Range<usize>> {
        let splits = Self { max_splits: g.define("SPLITS") as u32, min_positions: g.define("MIN_POSITIONS") as u32 };
        let share = splits.share(context as u64) as usize;
        (0..context).step_by(share).map(move |first| first..(first + share).min(context))
    }
}

/// The results of `attend_decode` for `attend_merge`.
pub struct Partials {
    /// \[S, Hq·SPLITS·D\] f32: weighted sums of values.
    pub sums: Tensor,
    /// \[S, Hq·SPLITS·2\] f32: largest score and sum of weights.
    pub stats: Tensor,
    /// How a context is split.
    pub splits: Splits,
    /// The heads.
    pub heads: AttentionHeads,
}

impl Partials {
    /// Scratch memory for the parts of some rows.
    pub fn new(r: Recorder<'_>, rows: u32, heads: AttentionHeads) -> Self {
        let max_splits = r.caps().tiles.attend_splits;
        let new = |width: u32| r.scratch([rows, heads.query * max_splits * width], DType::F32);
        let splits = Splits { max_splits, min_positions: teams(heads) * keys(heads) };
        Self { sums: new(heads.width), stats: new(2), splits, heads }
    }
}

/// Quads of a cache row per lane: 16 bytes of 16-bit or 8-bit elements. With more than 4 query heads per key head,
/// 8-bit elements have only 8 bytes per lane, so that the registers suffice.
fn quads_per_lane(heads: AttentionHeads, cache: &KvPages) -> u32 {
    if cache.keys.dtype() == DType::Q8Heads && heads.query / heads.kv <= 4 { 4 } else { 2 }
}

/// Number of teams; the lanes of a team share a cache row. At most 32, so that little is left to merge.
fn teams(heads: AttentionHeads) -> u32 {
    (2 * KERNEL.lanes / (heads.width / 4)).min(32)
}

/// Keys that a team takes together: as many as leave registers for all query heads.
fn keys(heads: AttentionHeads) -> u32 {
    (24 / (heads.query / heads.kv)).clamp(1, 4)
}

/// Query heads whose sums the teams exchange at once: as many as fit into workgroup memory beside the sums of a team.
fn heads_at_once(caps: &Caps, heads: AttentionHeads, team: u32) -> u32 {
    let (group, teams) = (heads.query / heads.kv, teams(heads));
    let (lanes, values) = (teams * team, group * keys(heads));
    let sums = caps.subgroup.map_or(16 * lanes, |[min_subgroup, _]| 4 * values * lanes / team.min(min_subgroup));
    let room = caps.group_memory.saturating_sub(sums + 8 * group * teams);
    let max_queries = (room / (4 * heads.width * teams)).clamp(1, group);
    group.div_ceil(group.div_ceil(max_queries))
}

/// Attention of one row per sequence, in parts. q \[S, Hq·D\] f32.
pub fn attend_decode(r: Recorder<'_>, q: &Tensor, cache: &KvPages) -> Partials {
    let heads = cache.heads;
    assert_eq!(q.width(), heads.query * heads.width, "attend_decode: q");
    cache.check(&KERNEL);
    let mut parts = Partials::new(r, q.rows(), heads);
    let (group, quads_per_lane) = (heads.query / heads.kv, quads_per_lane(heads, cache));
    let team = heads.width / (4 * quads_per_lane);
    r.dispatch(&KERNEL)
        .define("Q_HEADS", heads.query)
        .define("KV_HEADS", heads.kv)
        .define("GROUP", group)
        .define("HEAD", heads.width)
        .define("WIDE", quads_per_lane)
        .define("TEAM", team)
        .define("SCALED", cache.scaled())
        .define("KEYS", keys(heads))
        .define("VALUES", group * keys(heads))
        .define("TEAMS", teams(heads))
        .define("HEADS_AT_ONCE", heads_at_once(r.caps(), heads, team))
        .define("SPLITS", parts.splits.max_splits)
        .define("MIN_POSITIONS", parts.splits.min_positions)
        .define("PAGE", cache.page_size)
        .define("MAX_PAGES", r.step.tables().width())
        .lanes(teams(heads) * team)
        .step(r.step)
        .read(r.step.tables())
        .read(q)
        .read(&cache.keys)
        .read(&cache.values)
        .write(&mut parts.sums)
        .write(&mut parts.stats)
        .grid([heads.kv, parts.splits.max_splits, q.rows()]);
    parts
}

/// Reads every key and value of every sequence once; writes a sum of D and two numbers per part. Two sums of D
/// multiply-adds per query head and token of its row: q·k, and weight · v.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let [q_heads, kv_heads, width] = ["Q_HEADS", "KV_HEADS", "HEAD"].map(|name| d.size(name));
    let (kept, parts) = (load.context() * kv_heads * width, Splits::total(d, load) * q_heads);
    Cost {
        activations: Bytes {
            read: d.bytes("q", load.rows(d) * q_heads * width),
            written: d.bytes("sums", parts * width) + d.bytes("stats", parts * 2),
        },
        cache: Bytes { read: d.bytes("keys", kept) + d.bytes("values", kept), written: 0 },
        flops: d.product(["q", "keys"], 2 * load.pairs() * q_heads * width),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (kv_head, split, row) = (g.at(0), g.at(1), g.at(2));
    let (splits, width, q_heads) = (g.define("SPLITS"), g.define("HEAD"), g.define("Q_HEADS"));
    let (step, group) = (View::of(g), g.define("GROUP"));
    if row >= step.active_rows() {
        return;
    }
    let Some(positions) = Splits::ranges(g, step.position(row) + 1).nth(split) else { return };
    for head in kv_head * group..(kv_head + 1) * group {
        let partial = attend(g, row, head, step.span_of(row).slot, positions.clone());
        let at = (row * q_heads + head) * splits + split;
        g.store("sums", at * width, &partial.sum);
        g.f32s_mut("stats", 2 * at..2 * at + 2).copy_from_slice(&[partial.largest, partial.weight]);
    }
}

/// Attention over a range of positions, not yet divided by the sum of weights.
pub(super) struct Partial {
    pub(super) largest: f32,
    pub(super) weight: f32,
    pub(super) sum: Vec<f32>,
}

/// Attention of one row's query head over some positions of a slot.
/// For kernels with tables, q, keys, values at bindings 1 to 4.
pub(super) fn attend(g: &Group<'_>, row: usize, head: usize, slot: u32, positions: Range<usize>) -> Partial {
    let (q_heads, kv_heads, width) = (g.define("Q_HEADS"), g.define("KV_HEADS"), g.define("HEAD"));
    let first = (row * q_heads + head) * width;
    let q = g.floats("q", first..first + width).to_vec();
    let kv_head = head / (q_heads / kv_heads);
    let pages = PageTable::of(g, slot);
    let at = |position: usize| {
        let first = (pages.place(position) * kv_heads + kv_head) * width;
        first..first + width
    };
    let scale = (width as f32).sqrt().recip();
    let scores: Vec<f32> = positions.clone().map(|s| g.floats("keys", at(s)).dot(&q) * scale).collect();
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut partial = Partial { largest, weight: 0.0, sum: vec![0.0; width] };
    for (position, score) in positions.zip(scores) {
        let weight = (score - largest).exp();
        partial.weight += weight;
        g.floats("values", at(position)).add_to(&mut partial.sum, weight);
    }
    partial
}
