//! What `attend_prefill` computes, by matrix units: scores and weighted values are products of fragments in half precision
//! with sums in single precision.
//!
//! A row's weights are relative to a reference that follows its largest score in coarse steps, so that sums are rarely
//! rescaled. Keys pass by in tiles at absolute positions and a row looks at no other row, so its bits do not depend on
//! its company.

use crate::{
    compute::{
        caps::{Caps, ShadingLanguage},
        dtype::DType,
        kernel::{Binding, Element, Group, Kernel},
        pass::Pass,
        tensor::Tensor,
    },
    kernels::{
        attend_prefill::{self, Attend},
        operands::{
            caches::Blocks,
            heads::AttentionHeads,
            step::{self, Step, TILE, View},
        },
    },
};

/// One group a query head and SIDE rows of one sequence; keys pass by in tiles of two fragments, staged in group memory.
pub static KERNEL: Kernel = Kernel {
    name: "attend_mma",
    bindings: &[
        step::BINDING,
        Binding::read("tables", Element::U32),
        Binding::read("q", Element::Float),
        Binding::read("keys", Element::Halves),
        Binding::read("values", Element::Halves),
        Binding::read("x", Element::Float),
        Binding::write("out", Element::Float),
    ],
    params: &[],
    library: &["step", "pages", "activations", "matrix", "fragment_blocks"],
    lanes: 128,
    source: source!("attend_mma"),
    cpu,
    cost: attend_prefill::cost,
};

/// What one of several subgroups has of a group's rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AttentionSplit {
    /// Some columns of all rows: scores are added up between subgroups.
    Columns,
    /// Some rows with all of their columns, in registers: nothing but what is staged passes between subgroups.
    Rows,
}

/// The split that a text of this kernel is written for. The two texts are two algorithms with the same meaning.
const fn split_of(language: ShadingLanguage) -> AttentionSplit {
    match language {
        ShadingLanguage::Wgsl => AttentionSplit::Columns,
        ShadingLanguage::Msl => AttentionSplit::Rows,
    }
}

/// How a device's matrix units share out a head: rows of a group, and its lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttentionTiling {
    split: AttentionSplit,
    fragment: u32,
    side: u32,
    lanes: u32,
}

impl AttentionTiling {
    /// None where the device has no matrix units, or where they do not suit the head, the types or the cache.
    pub(crate) fn fit(caps: &Caps, cache: &Blocks, (heads, dtype): (AttentionHeads, DType)) -> Option<Self> {
        let (fragment, [width, _]) = (caps.matrix_units?, caps.subgroup?);
        let split = split_of(caps.language());
        let tiling = match split {
            // Each subgroup has four fragments of a head, for two fragments of rows.
            AttentionSplit::Columns => {
                Self { split, fragment, side: 2 * fragment, lanes: heads.width / (4 * fragment) * width }
            }
            // Each has one fragment's rows; there are as many as fill a tile.
            AttentionSplit::Rows => Self { split, fragment, side: TILE, lanes: TILE / fragment * width },
        };
        let halves =
            dtype == DType::F16 && cache.keys.dtype().has_halves() && cache.values.dtype() == cache.keys.dtype();
        // More than 256 columns do not fit into registers and group memory.
        let head = heads.width.is_power_of_two() && (4 * fragment..=256).contains(&heads.width);
        // A row is staged by whole runs of lanes, and a run of rows lies in one block.
        let staged = width.is_multiple_of(fragment) && cache.block.is_power_of_two() && cache.block >= width / fragment;
        // Each row of a group has a lane that weighs its scores.
        let lanes = (tiling.side..=caps.lanes).contains(&tiling.lanes);
        let room = tiling.group_memory(heads.width) <= caps.group_memory;
        (halves && head && staged && lanes && room && TILE.is_multiple_of(tiling.side)).then_some(tiling)
    }

    /// Bytes that a group shares.
    fn group_memory(self, width: u32) -> u32 {
        let Self { split, fragment, side, .. } = self;
        let keys = 2 * fragment;
        let (scores, weights) = (4 * side * (keys + 4), 2 * side * (keys + 8));
        match split {
            // Staged rows, weights, each subgroup's sums, a factor for each row, and whether one has moved.
            AttentionSplit::Columns => {
                2 * side * (width + 8) + weights + width / (4 * fragment) * scores + 4 * side + 4
            }
            // Staged queries and then keys and values, scores, and a fragment of factors for each fragment of rows.
            AttentionSplit::Rows => 2 * side.max(2 * keys) * (width + 8) + scores + 4 * side * fragment,
        }
    }
}

/// Gated causal attention of many rows; shapes are those of `attend_prefill`, types those that [`AttentionTiling::fit`] asks for.
pub(crate) fn attend_mma(p: &Pass, step: &Step, attend: Attend<'_>, tiling: AttentionTiling) -> Tensor {
    let Attend { q, x, cache, heads, dtype } = attend;
    let mut out = p.scratch([q.rows(), q.width()], dtype);
    p.dispatch(&KERNEL)
        .attention_heads(heads)
        .define("BLOCK", cache.block)
        .define("MAX_BLOCKS", step.tables().width())
        .define("SIDE", tiling.side)
        .lanes(tiling.lanes)
        .step(step)
        .read(step.tables())
        .read(q)
        .read(&cache.keys)
        .read(&cache.values)
        .read(x)
        .write(&mut out)
        .grid([heads.query, step.tiles() * (TILE / tiling.side), 1]);
    out
}

fn cpu(g: &Group<'_>) {
    let side = g.define("SIDE");
    let parts = TILE as usize / side;
    let Some((span, rows)) = View::of(g).tile(g.at(1) / parts) else { return };
    let first = rows.start + g.at(1) % parts * side;
    attend_prefill::rows(g, span, first..(first + side).min(rows.end));
}
