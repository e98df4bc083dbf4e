//! The part of a chunk of the gated delta rule that does not depend on its start state S. With c the cumulative sums of
//! the log decays, D\[t, s\] = exp(c\[t\] − c\[s\]) for s ≤ t, and A = I + tril(diag(β)·K·Kᵀ ⊙ D, −1):
//! u = A⁻¹·diag(β)·V, state_reads = \[−A⁻¹·diag(β·exp c)·K; diag(exp c)·Q\],
//! state_writes = \[(diag(exp(c_last − c))·K)ᵀ; Q·Kᵀ ⊙ D\], chunk_decay = exp(c_last).
//!
//! A chunk ends at a position that is a multiple of [`CHUNK`], or at the end of its prompt. So a prompt can be cut at
//! these multiples without a change of its chunks. If a sequence continues between two multiples, its first chunk is
//! short: the state holds the earlier tokens. Missing rows of a chunk are zero and have no effect.
//!
//! A is inverted in f32; the operands of the products are f16. Keys are normalized, so no element of A⁻¹ exceeds 1.
//! Decayed values are rounded after their decay.

use crate::{
    compute::{
        caps::Caps,
        cost::{Bytes, Cost, Flops, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        gdn_conv::Mixed,
        operands::{
            heads::DeltaHeads,
            recorder::Recorder,
            step::{self, Span, Step, View},
        },
    },
};

/// Maximum tokens of a chunk.
pub const CHUNK: u32 = 64;

/// Columns of keys, queries and values that are staged together.
const SLICE: u32 = 32;

/// The smallest log decay: its exponential is zero. Smaller values would cost the sums digits that weak decays need.
pub const MIN_LOG_DECAY: f32 = -104.0;

/// One workgroup per value head and chunk.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_chunk_solve",
    bindings: &[
        step::BINDING,
        Binding::read("qkv", Element::F32),
        Binding::read("gates", Element::F32),
        Binding::write("state_reads", Element::F16),
        Binding::write("state_writes", Element::F16),
        Binding::write("u", Element::F32),
        Binding::write("chunk_decay", Element::F32),
    ],
    params: &[],
    library: &["step", "chunks", "matrix", "triangle"],
    lanes: 128,
    source: source!("gdn_chunk_solve"),
    cpu,
    cost,
};

/// How matrix units split a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkTiling {
    /// Rows and columns of a fragment.
    pub(super) fragment: u32,
    /// Columns of a state per subgroup.
    pub(super) columns: u32,
    /// Subgroups of a workgroup. Each has one fragment of the rows of a chunk.
    pub(super) subgroups: u32,
    /// Lanes of a workgroup.
    pub(super) lanes: u32,
}

impl ChunkTiling {
    /// `None` if the device has no matrix units or no f16, or if they do not suit the heads, or if `activations` is not
    /// f16. The content of a step has no influence, so all steps of a sequence compute alike.
    pub fn fit(caps: &Caps, heads: DeltaHeads, activations: DType) -> Option<Self> {
        let (fragment, [width, _]) = (caps.matrix_units?, caps.subgroup?);
        let subgroups = CHUNK / fragment;
        let tiling =
            Self { fragment, columns: caps.tiles.state_fragments * fragment, subgroups, lanes: subgroups * width };
        // More of a state does not fit into registers and workgroup memory.
        let widths = [64, 128].contains(&heads.key_width) && heads.value_width.is_multiple_of(SLICE);
        // Each row of a chunk has a lane, and the columns of a workgroup divide evenly among its lanes.
        let lanes =
            (CHUNK..=caps.lanes).contains(&tiling.lanes) && (CHUNK * tiling.columns / 4).is_multiple_of(tiling.lanes);
        let room = Self::SOLVE_MEMORY.max(tiling.state_memory(heads)) <= caps.group_memory;
        (caps.half && activations == DType::F16 && widths && lanes && room).then_some(tiling)
    }

    /// Maximum workgroup bytes of `gdn_chunk_solve`. Per row of a chunk: a slice in f16, a row of A⁻¹ in f16 and in
    /// f32, and three numbers. Then the place of the workgroup. Rows are padded by 8 (f16) and 4 (f32) elements against
    /// bank conflicts.
    pub const SOLVE_MEMORY: u32 = CHUNK * (2 * (SLICE + 8) + 2 * (CHUNK + 8) + 4 * (CHUNK + 4) + 3 * 4) + 8;

    /// Maximum workgroup bytes of `gdn_chunk_state`: columns of the state in f32 and twice in f16, and columns of a
    /// chunk in f32 and in f16.
    fn state_memory(self, heads: DeltaHeads) -> u32 {
        let (single, half) = (4 * (self.columns + 4), 2 * (self.columns + 8));
        heads.key_width * (single + 2 * half) + CHUNK * (single + half)
    }
}

/// The inputs of `gdn_chunk_state`, per chunk and value head.
pub struct Solved {
    /// \[chunks·Hv·2·CHUNK, Dk\] f16: factors that read the state, for u and for queries.
    pub state_reads: Tensor,
    /// \[chunks·Hv·(Dk + CHUNK), CHUNK\] f16: factors of the writes to the state and to the outputs.
    pub state_writes: Tensor,
    /// \[chunks·Hv·CHUNK, Dv\] f32: solved values, still without the part that the state predicts.
    pub u: Tensor,
    /// \[chunks, Hv\] f32: the decay of the state over a chunk.
    pub chunk_decay: Tensor,
}

/// Maximum chunks of a step: every sequence may begin and end with a partial chunk.
fn chunks(step: &Step, rows: u32) -> u32 {
    rows / CHUNK + 2 * step.sequences()
}

/// Solves every chunk of the step.
pub fn gdn_chunk_solve(
    r: Recorder<'_>,
    Mixed { qkv, gates }: &Mixed,
    heads: DeltaHeads,
    tiling: ChunkTiling,
) -> Solved {
    assert_eq!([qkv.width(), gates.width()], [heads.channels(), 2 * heads.value], "gdn_chunk_solve: qkv, gates");
    let chunks = chunks(r.step, qkv.rows());
    let of_each = chunks * heads.value;
    let mut solved = Solved {
        state_reads: r.scratch([of_each * 2 * CHUNK, heads.key_width], DType::F16),
        state_writes: r.scratch([of_each * (heads.key_width + CHUNK), CHUNK], DType::F16),
        u: r.scratch([of_each * CHUNK, heads.value_width], DType::F32),
        chunk_decay: r.scratch([chunks, heads.value], DType::F32),
    };
    r.dispatch(&KERNEL)
        .define("KEY_HEADS", heads.key)
        .define("VALUE_HEADS", heads.value)
        .define("SHARING", heads.sharing)
        .define("KEY_WIDTH", heads.key_width)
        .define("VALUE_WIDTH", heads.value_width)
        .define("SUBGROUPS", tiling.subgroups)
        .define("SLICE_FRAGMENTS", SLICE / tiling.fragment)
        .define("FETCHES", CHUNK * SLICE / 4 / tiling.lanes)
        .lanes(tiling.lanes)
        .step(r.step)
        .read(qkv)
        .read(gates)
        .write(&mut solved.state_reads)
        .write(&mut solved.state_writes)
        .write(&mut solved.u)
        .write(&mut solved.chunk_decay)
        .grid([heads.value, chunks, 1]);
    solved
}

/// Per row, products with CHUNK other rows: of keys and queries with keys, and of A⁻¹ with keys and values.
/// Substitution takes a third of the multiply-adds of a product with CHUNK columns.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let [key_heads, heads, key, value] =
        ["KEY_HEADS", "VALUE_HEADS", "KEY_WIDTH", "VALUE_WIDTH"].map(|name| d.size(name));
    let (rows, chunk) = (load.rows(d), u64::from(CHUNK));
    let of_each = rows * heads;
    let written = d.bytes("state_reads", of_each * 2 * key) + d.bytes("state_writes", of_each * (key + chunk));
    let products = d.product(["state_reads", "state_writes"], of_each * chunk * (3 * key + value));
    Cost {
        activations: Bytes {
            read: d.bytes("qkv", rows * (2 * key_heads * key + heads * value)) + d.bytes("gates", of_each * 2),
            written: written + d.bytes("u", of_each * value),
        },
        flops: Flops { vector: 2 * of_each * chunk * chunk / 6, ..products },
        ..Cost::default()
    }
}

/// Rows of one sequence between two multiples of CHUNK.
pub(super) struct Chunk {
    /// First row in the step.
    pub(super) row: usize,
    pub(super) rows: usize,
}

impl Chunk {
    /// The chunks of a sequence, in order.
    pub(super) fn of(span: Span) -> impl Iterator<Item = Self> {
        let (before, chunk) = (span.position % CHUNK, CHUNK);
        (0..(before + span.rows).div_ceil(chunk)).map(move |index| {
            let start = (index * chunk).saturating_sub(before);
            let end = ((index + 1) * chunk - before).min(span.rows);
            Self { row: (span.row + start) as usize, rows: (end - start) as usize }
        })
    }
}

fn cpu(g: &Group<'_>) {
    let view = View::of(g);
    if g.at(1) < view.active_rows() / CHUNK as usize + 2 * view.sequences() {
        let mut chunks = (0..view.sequences()).flat_map(|sequence| Chunk::of(view.span(sequence)));
        Chunked::new(g, &chunks.nth(g.at(1)).unwrap_or(Chunk { row: 0, rows: 0 })).store(g);
    }
}

/// The data of a value head in a chunk: rows of keys, queries and values; cumulative log decay and beta per row.
struct Chunked {
    heads: DeltaHeads,
    q: Vec<Vec<f32>>,
    k: Vec<Vec<f32>>,
    v: Vec<Vec<f32>>,
    decay: Vec<f32>,
    beta: Vec<f32>,
}

impl Chunked {
    fn new(g: &Group<'_>, chunk: &Chunk) -> Self {
        let (heads, head) = (DeltaHeads::shared_of(g), g.at(0));
        let key_head = heads.key_of(head);
        let rows = |head: usize| -> Vec<Vec<f32>> {
            let of_head = heads.channels_of(head);
            let row = |row: usize| match row < chunk.rows {
                true => {
                    let from = (chunk.row + row) * heads.channels() as usize;
                    g.f32s("qkv", from + of_head.start..from + of_head.end).to_vec()
                }
                false => vec![0.0; of_head.len()],
            };
            (0..CHUNK as usize).map(row).collect()
        };
        let gates = |at: usize| {
            let gate = move |row: usize| {
                let from = (chunk.row + row) * 2 * heads.value as usize + at;
                if row < chunk.rows { g.f32s("gates", from..from + 1)[0] } else { 0.0 }
            };
            (0..CHUNK as usize).map(gate)
        };
        let mut sum = 0.0;
        let decay = gates(head).map(|decay| {
            sum += decay.max(MIN_LOG_DECAY);
            sum
        });
        let decay = decay.collect();
        let (keys, values) = (heads.key as usize, 2 * heads.key as usize);
        let beta = gates(heads.value as usize + head).collect();
        Self { heads, q: rows(key_head), k: rows(keys + key_head), v: rows(values + head), decay, beta }
    }

    /// Solves A·x = diag(beta)·b, row after row.
    fn solve(&self, mut b: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        for row in 0..b.len() {
            let (known, rest) = b.split_at_mut(row);
            let x = &mut rest[0];
            x.iter_mut().for_each(|x| *x *= self.beta[row]);
            for (at, known) in known.iter().enumerate() {
                let factor = self.beta[row] * dot(&self.k[row], &self.k[at]) * self.decayed(row, at);
                x.iter_mut().zip(known).for_each(|(x, known)| *x -= factor * known);
            }
        }
        b
    }

    /// The decay factor from an earlier row to a row.
    fn decayed(&self, row: usize, from: usize) -> f32 {
        (self.decay[row] - self.decay[from]).exp()
    }

    fn store(self, g: &Group<'_>) {
        let DeltaHeads { value, key_width, value_width, .. } = self.heads;
        let at = g.at(1) * value as usize + g.at(0);
        let (rows, width, last) = (CHUNK as usize, key_width as usize, CHUNK as usize - 1);
        let scaled = |x: &[Vec<f32>], sign: f32| -> Vec<Vec<f32>> {
            let rows = x.iter().zip(&self.decay);
            rows.map(|(x, decay)| x.iter().map(|x| sign * x * decay.exp()).collect()).collect()
        };
        let state_reads = [self.solve(scaled(&self.k, -1.0)), scaled(&self.q, 1.0)].concat();
        g.store("state_reads", at * 2 * rows * width, &state_reads.concat());
        let keys = (0..width).flat_map(|key| (0..rows).map(move |row| (row, key)));
        let keys = keys.map(|(row, key)| self.k[row][key] * self.decayed(last, row));
        let scores = (0..rows).flat_map(|row| (0..rows).map(move |from| (row, from)));
        let scores = scores.map(|(row, from)| match from <= row {
            true => dot(&self.q[row], &self.k[from]) * self.decayed(row, from),
            false => 0.0,
        });
        g.store("state_writes", at * (width + rows) * rows, &keys.chain(scores).collect::<Vec<_>>());
        g.store("u", at * rows * value_width as usize, &self.solve(self.v.clone()).concat());
        g.store("chunk_decay", at, &[self.decay[last].exp()]);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
