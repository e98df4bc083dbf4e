//! The gated delta rule of prefill, chunk after chunk, from the results of `gdn_chunk_solve`. Per value head with state
//! S \[Dk, Dv\]: n = u + state_reads\[..CHUNK\]·S; o = state_reads\[CHUNK..\]·S + state_writes\[Dk..\]·n;
//! S ← chunk_decay·S + state_writes\[..Dk\]·n.
//!
//! The state is f32. As a factor of an f16 product it is the sum of two f16 values: its leading 11 bits and the next
//! 11. This doubles the two products that read the state; the relative error is at most 2^−21. Columns of the state are
//! independent, so workgroups split them.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Floats, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        gdn_chunk_solve::{CHUNK, Chunk, ChunkTiling, Solved},
        operands::{
            caches::Slots,
            heads::DeltaHeads,
            recorder::Recorder,
            step::{self, View},
        },
    },
};

/// Subgroups along the columns of a workgroup.
const COLUMN_SUBGROUPS: u32 = 1;

/// One workgroup per value head, COLUMNS columns of its state, and sequence.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_chunk_state",
    bindings: &[
        step::BINDING,
        Binding::read("state_reads", Element::F16),
        Binding::read("state_writes", Element::F16),
        Binding::read("u", Element::F32),
        Binding::read("chunk_decay", Element::F32),
        Binding::update("state", Element::F32),
        Binding::write("o", Element::F32),
    ],
    params: &[],
    library: &["step", "chunks", "matrix"],
    lanes: 128,
    source: source!("gdn_chunk_state"),
    cpu,
    cost,
};

/// Advances each sequence's state by all its chunks. → \[T, Hv·Dv\] f32 with T = `rows`.
pub fn gdn_chunk_state(r: Recorder<'_>, solved: &Solved, slots: &mut Slots, tiling: ChunkTiling, rows: u32) -> Tensor {
    let heads = slots.heads;
    let columns = COLUMN_SUBGROUPS * tiling.columns;
    let lanes = COLUMN_SUBGROUPS * tiling.lanes;
    let mut o = r.scratch([rows, heads.values()], DType::F32);
    r.dispatch(&KERNEL)
        .delta_heads(heads)
        .define("SUBGROUPS", tiling.subgroups)
        .define("COLUMN_SUBGROUPS", COLUMN_SUBGROUPS)
        .define("COLUMNS", columns)
        .define("KEY_FRAGMENTS", heads.key_width / tiling.fragment)
        .define("STATE_FRAGMENTS", heads.key_width / CHUNK)
        .define("FETCHES", CHUNK * columns / 4 / lanes)
        .lanes(lanes)
        .step(r.step)
        .read(&solved.state_reads)
        .read(&solved.state_writes)
        .read(&solved.u)
        .read(&solved.chunk_decay)
        .write(&mut slots.state)
        .write(&mut o)
        .grid([heads.value, heads.value_width / columns, r.step.sequences()]);
    o
}

/// Reads and writes each state once; the start of a sequence reads no state. Per token: 3 multiply-adds per state
/// element, and the products with CHUNK other tokens. The products with the second f16 value of the state are not
/// counted.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let [heads, key, value] = ["VALUE_HEADS", "KEY_WIDTH", "VALUE_WIDTH"].map(|name| d.size(name));
    let (of_each, chunk, state) = (load.rows(d) * heads, u64::from(CHUNK), heads * key * value);
    let read = d.bytes("state_reads", of_each * 2 * key) + d.bytes("state_writes", of_each * (key + chunk));
    Cost {
        activations: Bytes { read: read + d.bytes("u", of_each * value), written: d.bytes("o", of_each * value) },
        cache: Bytes {
            read: d.bytes("state", load.continued() * state),
            written: d.bytes("state", load.sequences() * state),
        },
        flops: d.product(["state_reads", "state_writes"], of_each * value * (3 * key + chunk)),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (view, heads, head, sequence) = (View::of(g), DeltaHeads::of(g), g.at(0), g.at(2));
    if sequence >= view.sequences() {
        return;
    }
    let (span, width, depth) = (view.span(sequence), heads.value_width as usize, heads.key_width as usize);
    let columns = g.at(1) * g.define("COLUMNS")..(g.at(1) + 1) * g.define("COLUMNS");
    let row_of_state = |key: usize| {
        let row = ((span.slot as usize * heads.value as usize + head) * depth + key) * width;
        row + columns.start..row + columns.end
    };
    let of_state = |key: usize| match span.position {
        0 => vec![0.0; columns.len()],
        _ => g.f32s("state", row_of_state(key)).to_vec(),
    };
    let mut state: Vec<_> = (0..depth).map(of_state).collect();
    let first: usize = (0..sequence).map(|before| Chunk::of(view.span(before)).count()).sum();
    for (index, chunk) in Chunk::of(span).enumerate() {
        let at = (first + index) * heads.value as usize + head;
        let o = advance(g, at, columns.start, &mut state);
        for (row, o) in (chunk.row..chunk.row + chunk.rows).zip(o) {
            let from = row * heads.values() as usize + head * width;
            g.f32s_mut("o", from + columns.start..from + columns.end).copy_from_slice(&o);
        }
    }
    for (key, row) in state.iter().enumerate() {
        g.f32s_mut("state", row_of_state(key)).copy_from_slice(row);
    }
}

/// Advances some columns of a state, from column `first` on, by chunk `at`. Returns the outputs of the chunk.
fn advance(g: &Group<'_>, at: usize, first: usize, state: &mut [Vec<f32>]) -> Vec<Vec<f32>> {
    let width = g.define("VALUE_WIDTH");
    let (rows, depth, columns) = (CHUNK as usize, state.len(), state[0].len());
    let state_reads = g.floats("state_reads", at * 2 * rows * depth..(at + 1) * 2 * rows * depth);
    let state_writes = g.floats("state_writes", at * (depth + rows) * rows..(at + 1) * (depth + rows) * rows);
    let chunk_decay = g.f32s("chunk_decay", at..at + 1)[0];
    let mut n: Vec<Vec<f32>> = (0..rows)
        .map(|row| {
            let from = (at * rows + row) * width + first;
            g.f32s("u", from..from + columns).to_vec()
        })
        .collect();
    let mut o = vec![vec![0.0; columns]; rows];
    n.iter_mut().enumerate().for_each(|(row, n)| add_products(n, &state_reads, row * depth, state));
    o.iter_mut().enumerate().for_each(|(row, o)| add_products(o, &state_reads, (rows + row) * depth, state));
    o.iter_mut().enumerate().for_each(|(row, o)| add_products(o, &state_writes, (depth + row) * rows, &n));
    for (key, row) in state.iter_mut().enumerate() {
        row.iter_mut().for_each(|state| *state *= chunk_decay);
        add_products(row, &state_writes, key * rows, &n);
    }
    o
}

/// sum += Σ factors · rows. The factors are a row of f16 values, from element `from` on.
fn add_products(sum: &mut [f32], factors: &Floats<'_>, from: usize, rows: &[Vec<f32>]) {
    for (at, row) in rows.iter().enumerate() {
        let factor = factors.get(from + at);
        sum.iter_mut().zip(row).for_each(|(sum, element)| *sum += factor * element);
    }
}
