//! `attend_prefill` on matrix units: scores and weighted values are f16 products of fragments with f32 sums.
//!
//! A row's weights are relative to a reference. The reference follows the largest score in coarse steps, so sums are
//! rarely rescaled. Tiles of keys start at absolute positions and rows are independent. So a row's bits do not depend
//! on the other rows of the batch.

use crate::{
    compute::{
        caps::{Caps, ShadingLanguage},
        dtype::DType,
        kernel::{Binding, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        attend_prefill,
        operands::{
            caches::KvPages,
            recorder::Recorder,
            step::{self, TILE, View},
        },
    },
};

/// One workgroup per query head and SIDE rows of one sequence. Workgroup memory holds key tiles of two fragments.
pub static KERNEL: Kernel = Kernel {
    name: "attend_mma",
    bindings: &[
        step::BINDING,
        Binding::read("tables", Element::U32),
        Binding::read("q", Element::Float),
        Binding::read("keys", Element::MatrixOperand),
        Binding::read("values", Element::MatrixOperand),
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

/// How subgroups split the rows of a workgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AttentionSplit {
    /// Each has some columns of all rows: subgroups add up their scores.
    Columns,
    /// Each has some rows with all columns, in registers: subgroups share only the staged tiles.
    Rows,
}

/// The split of this kernel's source in a language. The two sources are two algorithms for the same function.
const fn split_of(language: ShadingLanguage) -> AttentionSplit {
    match language {
        ShadingLanguage::Wgsl => AttentionSplit::Columns,
        ShadingLanguage::Msl => AttentionSplit::Rows,
    }
}

/// How matrix units split a head: rows and lanes of a workgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttentionTiling {
    split: AttentionSplit,
    fragment: u32,
    side: u32,
    lanes: u32,
}

impl AttentionTiling {
    /// `None` if the device has no matrix units, or if they do not suit the head, the types or the cache.
    pub(crate) fn fit(caps: &Caps, cache: &KvPages, activations: DType) -> Option<Self> {
        let (heads, fragment, [width, _]) = (cache.heads, caps.matrix_units?, caps.subgroup?);
        let split = split_of(caps.language());
        let tiling = match split {
            // Each subgroup has four fragments of the head width, for two fragments of rows.
            AttentionSplit::Columns => {
                Self { split, fragment, side: 2 * fragment, lanes: heads.width / (4 * fragment) * width }
            }
            // Each subgroup has one fragment of rows; together the subgroups fill a tile.
            AttentionSplit::Rows => Self { split, fragment, side: TILE, lanes: TILE / fragment * width },
        };
        let suits = activations == DType::F16
            && cache.keys.dtype().suits_matrix_units()
            && cache.values.dtype() == cache.keys.dtype();
        // More than 256 columns do not fit into registers and workgroup memory.
        let head = heads.width.is_power_of_two() && (4 * fragment..=256).contains(&heads.width);
        // Whole runs of lanes stage a row, and a run of rows lies in one page.
        let staged =
            width.is_multiple_of(fragment) && cache.page_size.is_power_of_two() && cache.page_size >= width / fragment;
        // Each row of a workgroup has a lane that computes its softmax weights.
        let lanes = (tiling.side..=caps.lanes).contains(&tiling.lanes);
        let room = tiling.group_memory(heads.width) <= caps.group_memory;
        (suits && head && staged && lanes && room && TILE.is_multiple_of(tiling.side)).then_some(tiling)
    }

    /// Bytes of workgroup memory.
    fn group_memory(self, width: u32) -> u32 {
        let Self { split, fragment, side, .. } = self;
        let keys = 2 * fragment;
        let (scores, weights) = (4 * side * (keys + 4), 2 * side * (keys + 8));
        match split {
            // Staged rows, weights, the sums of each subgroup, a factor per row, and a flag for changed references.
            AttentionSplit::Columns => {
                2 * side * (width + 8) + weights + width / (4 * fragment) * scores + 4 * side + 4
            }
            // Staged queries, later keys and values; scores; and a fragment of factors per fragment of rows.
            AttentionSplit::Rows => 2 * side.max(2 * keys) * (width + 8) + scores + 4 * side * fragment,
        }
    }
}

/// Gated causal attention of many rows; shapes as in `attend_prefill`, types as [`AttentionTiling::fit`] requires.
pub(crate) fn attend_mma(r: Recorder<'_>, q: &Tensor, x: &Tensor, cache: &KvPages, tiling: AttentionTiling) -> Tensor {
    let mut out = r.scratch([q.rows(), q.width()], r.activations);
    r.dispatch(&KERNEL)
        .attention_heads(cache.heads)
        .define("PAGE", cache.page_size)
        .define("MAX_PAGES", r.step.tables().width())
        .define("SIDE", tiling.side)
        .lanes(tiling.lanes)
        .step(r.step)
        .read(r.step.tables())
        .read(q)
        .read(&cache.keys)
        .read(&cache.values)
        .read(x)
        .write(&mut out)
        .grid([cache.heads.query, r.step.tiles() * (TILE / tiling.side), 1]);
    out
}

fn cpu(g: &Group<'_>) {
    let side = g.define("SIDE");
    let parts = TILE as usize / side;
    let Some((span, rows)) = View::of(g).tile(g.at(1) / parts) else { return };
    let first = rows.start + g.at(1) % parts * side;
    attend_prefill::rows(g, span, first..(first + side).min(rows.end));
}
