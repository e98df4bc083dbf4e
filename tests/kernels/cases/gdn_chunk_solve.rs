//! The state-independent results of a chunk of the gated delta rule: against the plain loops, and against the rule
//! itself.

use std::{ops::Range, sync::Arc};

use bimetal::{
    Backend,
    low_level::{
        compute::{caps::Caps, cpu::Cpu, dtype::DType, pass::Pass},
        kernels::{
            gdn_chunk_solve::{CHUNK, ChunkTiling, gdn_chunk_solve},
            operands::heads::DeltaHeads,
        },
    },
};

use super::{
    gdn_chunk_state::{HEADS, with_units, within},
    gdn_scan::{inputs, orders},
};
use crate::{
    harness::{Case, Output, Random, backends, outputs},
    step_cases::*,
};

/// One row; a chunk plus or minus one row; rows around the middle of a chunk; several chunks.
const STEP_CASES: [StepCase; 4] = [
    StepCase::rows(&[(1, 0, 0)]),
    StepCase::rows(&[(65, 0, 2), (2, 63, 0), (63, 1, 1)]),
    StepCase::rows(&[(31, 33, 1), (33, 31, 0), (1, 63, 3), (3, 127, 2)]),
    StepCase::rows(&[(193, 0, 1)]),
];

fn solved(on: (&Caps, &Arc<dyn Backend>), step_case: StepCase, heads: DeltaHeads) -> Vec<Output> {
    let op = |case: &Case, p: &Pass| {
        let mixed = inputs(case, step_case, heads);
        let tiling = ChunkTiling::fit(on.0, heads, DType::F16).unwrap();
        let solved = gdn_chunk_solve(recorder(p, &step_case.step(case, 10)), &mixed, heads, tiling);
        p.mark("state_reads", &solved.state_reads);
        p.mark("state_writes", &solved.state_writes);
        p.mark("u", &solved.u);
        p.mark("chunk_decay", &solved.chunk_decay);
        p.mark("qkv", &mixed.qkv);
        p.mark("gates", &mixed.gates);
    };
    outputs("gdn_chunk_solve", on.1, on.0, op)
}

/// Backends with matrix units, and the plain loops of two devices that have them.
fn settings() -> Vec<(String, Caps, Arc<dyn Backend>)> {
    let present = backends().into_iter().filter(|(_, backend)| backend.caps().matrix_units.is_some());
    let present = present.map(|(name, backend)| (name.into(), backend.caps().clone(), backend));
    let plain = [(16, 32), (8, 8)].map(|(fragment_size, width)| -> (String, Caps, Arc<dyn Backend>) {
        (
            format!("plain loops, fragments of {fragment_size}"),
            with_units(fragment_size, width),
            Arc::new(Cpu::default()),
        )
    });
    present.chain(plain).collect()
}

/// Every result against the plain loops. A device without matrix units uses `gdn_scan`, which has its own cases.
#[test]
pub fn cases() {
    let (oracle, units): (Arc<dyn Backend>, _) = (Arc::new(Cpu::default()), with_units(16, 32));
    for (step_case, heads) in
        STEP_CASES.into_iter().zip(HEADS).flat_map(|(one, heads)| orders(heads).map(move |of| (one, of)))
    {
        let wanted = solved((&units, &oracle), step_case, heads);
        for (name, caps, backend) in &settings() {
            for (wanted, got) in wanted.iter().zip(&solved((caps, backend), step_case, heads)) {
                println!("{name}, {heads:?}: {} {:.1e}", wanted.name, within(1e-3)(name, wanted, got));
            }
        }
    }
}

/// With any initial state, a chunk's results equal the token-by-token rule in f64: the values written to the state, the
/// values that queries read, and the final state.
#[test]
pub fn like_the_rule() {
    for (step_case, heads) in STEP_CASES.into_iter().zip(HEADS.map(DeltaHeads::grouped)) {
        for (name, caps, backend) in &settings() {
            let found = Found::of(solved((caps, backend), step_case, heads), heads);
            for (chunk, rows) in chunks(step_case).into_iter().enumerate() {
                for head in 0..heads.value as usize {
                    let [wanted, got] = [found.by_token(rows.clone(), head), found.by_chunk(chunk, rows.len(), head)];
                    let sum = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
                    let error =
                        sum(&mut wanted.iter().zip(&got).map(|(a, b)| a - b)) / sum(&mut wanted.iter().copied());
                    assert_eq!(wanted.len(), got.len());
                    assert!(
                        error.sqrt() <= 1e-3,
                        "{name}, {heads:?}: chunk {chunk}, head {head}: {:.1e}",
                        error.sqrt()
                    );
                }
            }
        }
    }
}

/// The rows of every chunk of a step: a chunk ends where a position is a multiple of CHUNK.
fn chunks(step_case: StepCase) -> Vec<Range<usize>> {
    let (mut found, mut row) = (Vec::new(), 0);
    for &(rows, first, _) in step_case.spans {
        let (mut position, end) = (first, first + rows);
        while position < end {
            let count = (CHUNK - position % CHUNK).min(end - position);
            found.push(row..row + count as usize);
            (position, row) = (position + count, row + count as usize);
        }
    }
    found
}

/// Inputs and results of one dispatch.
struct Found {
    heads: DeltaHeads,
    state_reads: Vec<f64>,
    state_writes: Vec<f64>,
    u: Vec<f64>,
    chunk_decay: Vec<f64>,
    qkv: Vec<f64>,
    gates: Vec<f64>,
}

impl Found {
    fn of(outputs: Vec<Output>, heads: DeltaHeads) -> Self {
        let values = |output: &Output| output.values().map(f64::from).collect::<Vec<_>>();
        let [state_reads, state_writes, u, chunk_decay, qkv, gates] =
            outputs.iter().map(values).collect::<Vec<_>>().try_into().unwrap();
        Self { heads, state_reads, state_writes, u, chunk_decay, qkv, gates }
    }

    /// Key width, value width and number of value heads, as indices.
    fn sizes(&self) -> [usize; 3] {
        [self.heads.key_width, self.heads.value_width, self.heads.value].map(|size| size as usize)
    }

    /// \[Dk, Dv\]: the state before a chunk.
    fn state(&self, head: usize) -> Vec<Vec<f64>> {
        let ([depth, width, _], mut random) = (self.sizes(), Random::new(&format!("state of {head}")));
        (0..depth).map(|_| (0..width).map(|_| f64::from(random.within(&(-1.0..1.0)))).collect()).collect()
    }

    /// New values and outputs of every row, and the state after the last row, by the rule.
    fn by_token(&self, rows: Range<usize>, head: usize) -> Vec<f64> {
        let ([depth, width, heads], key_heads) = (self.sizes(), self.heads.key as usize);
        let (channels, key_head) = (self.heads.channels() as usize, head / (heads / key_heads));
        let (mut state, mut news, mut read) = (self.state(head), Vec::new(), Vec::new());
        for row in rows {
            let part = |at: usize, count: usize| &self.qkv[row * channels + at..][..count];
            let (q, k) = (part(key_head * depth, depth), part((key_heads + key_head) * depth, depth));
            let v = part(2 * key_heads * depth + head * width, width);
            let (decay, beta) = (self.gates[2 * heads * row + head].exp(), self.gates[2 * heads * row + heads + head]);
            state.iter_mut().flatten().for_each(|element| *element *= decay);
            let known = times(k, &state);
            let new: Vec<f64> = v.iter().zip(&known).map(|(v, known)| beta * (v - known)).collect();
            for (row, k) in state.iter_mut().zip(k) {
                row.iter_mut().zip(&new).for_each(|(element, new)| *element += k * new);
            }
            read.extend(times(q, &state));
            news.extend(new);
        }
        [news, read, state.concat()].concat()
    }

    /// The same from a chunk's results.
    fn by_chunk(&self, chunk: usize, rows: usize, head: usize) -> Vec<f64> {
        let ([depth, width, heads], size) = (self.sizes(), CHUNK as usize);
        let (at, state) = (chunk * heads + head, self.state(head));
        let reads = |row: usize| &self.state_reads[(at * 2 * size + row) * depth..][..depth];
        let writes = |row: usize| &self.state_writes[(at * (depth + size) + row) * size..][..size];
        let plus = |a: &[f64], b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
        let new = |row: usize| plus(&self.u[(at * size + row) * width..][..width], times(reads(row), &state));
        let news: Vec<Vec<f64>> = (0..size).map(new).collect();
        let read = |row: usize| plus(&times(reads(size + row), &state), times(writes(depth + row), &news));
        let kept = |row: usize| state[row].iter().map(|element| self.chunk_decay[at] * element).collect::<Vec<f64>>();
        let behind = |row: usize| plus(&kept(row), times(writes(row), &news));
        let read: Vec<f64> = (0..rows).flat_map(read).collect();
        [news[..rows].concat(), read, (0..depth).flat_map(behind).collect()].concat()
    }
}

/// Σ factors · rows.
fn times(factors: &[f64], rows: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; rows[0].len()];
    for (factor, row) in factors.iter().zip(rows) {
        sum.iter_mut().zip(row).for_each(|(sum, element)| *sum += factor * element);
    }
    sum
}
