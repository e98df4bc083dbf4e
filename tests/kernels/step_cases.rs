//! Steps for kernel tests: sequences of odd lengths, in slots and pages out of order.

use std::{ops::Range, sync::Arc};

use bimetal::{
    SequenceId,
    low_level::{
        compute::{
            dtype::{DType, Planes},
            formats::heads::quantize,
            pass::Pass,
            tensor::Tensor,
        },
        kernels::operands::{
            caches::KvPages,
            heads::AttentionHeads,
            recorder::Recorder,
            step::{Input, Layout, Phase, Step, Work},
        },
    },
};
use half::f16;

use crate::harness::{Case, Random};

/// Tokens per page, small so that a tile of keys has several pages.
pub const PAGE: u32 = 8;

/// A recorder whose kernels write f32 rows.
pub fn recorder<'a>(p: &'a Pass, step: &'a Step) -> Recorder<'a> {
    Recorder::new(p, step, DType::F32)
}

/// The sequences of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepCase {
    pub kind: Phase,
    /// Number of rows, position of the first row, slot.
    pub spans: &'static [(u32, u32, u32)],
    /// Number of inactive rows.
    pub spare: u32,
}

/// Prefill: one row; tiles and pages that end in the middle; sequences that continue; exact tiles.
pub const PROMPTS: &[StepCase] = &[
    StepCase { kind: Phase::Prefill, spans: &[(1, 0, 0)], spare: 0 },
    StepCase { kind: Phase::Prefill, spans: &[(3, 0, 2), (31, 5, 0)], spare: 4 },
    StepCase { kind: Phase::Prefill, spans: &[(33, 0, 1), (2, 1, 4), (32, 64, 3), (65, 7, 0)], spare: 9 },
    StepCase { kind: Phase::Prefill, spans: &[(64, 2, 1), (63, 0, 0)], spare: 1 },
];

/// Decode: one row for each of some sequences.
pub const DECODES: &[StepCase] = &[
    StepCase { kind: Phase::Decode, spans: &[(1, 0, 0)], spare: 0 },
    StepCase { kind: Phase::Decode, spans: &[(1, 17, 2), (1, 0, 0), (1, 63, 1)], spare: 1 },
    StepCase {
        kind: Phase::Decode,
        spans: &[
            (1, 64, 8),
            (1, 1, 0),
            (1, 2, 3),
            (1, 31, 4),
            (1, 32, 1),
            (1, 33, 6),
            (1, 299, 5),
            (1, 3, 2),
            (1, 4, 7),
        ],
        spare: 3,
    },
];

impl StepCase {
    /// These prefill rows, and some inactive ones.
    pub const fn rows(spans: &'static [(u32, u32, u32)]) -> Self {
        Self { kind: Phase::Prefill, spans, spare: 5 }
    }

    pub fn active_rows(&self) -> u32 {
        self.spans.iter().map(|span| span.0).sum()
    }

    pub fn capacity(&self) -> u32 {
        self.active_rows() + self.spare
    }

    pub fn slots(&self) -> u32 {
        self.spans.iter().map(|span| span.2).max().unwrap() + 2
    }

    /// Number of positions written before or by the step.
    pub fn context(&self) -> u32 {
        self.spans.iter().map(|span| span.0 + span.1).max().unwrap()
    }

    fn pages_per_slot(&self) -> u32 {
        self.context().div_ceil(PAGE) + 1
    }

    /// The step, with token ids below `vocabulary`, and logits for the last row of every second sequence.
    pub fn step(&self, case: &Case, vocabulary: u32) -> Step {
        let (slots, pages) = (self.slots(), self.pages_per_slot());
        let tables = Arc::new(case.words([slots, pages], &self.tables()));
        let sequences = self.spans.len() as u32 + u32::from(self.spare > 0);
        let layout = Layout { rows: self.capacity(), sequences, outputs: sequences };
        let step = Step::new(case.backend(), layout, self.kind, tables).unwrap();
        let mut random = Random::new("ids");
        let ids: Vec<u32> = (0..self.active_rows()).map(|_| random.below(vocabulary)).collect();
        let mut left = &ids[..];
        let work = (0..).zip(self.spans).map(|(i, &(rows, position, _))| {
            let range = position as usize..(position + rows) as usize;
            let work = Work::new(SequenceId::new(i), self.kind, range);
            if i % 2 == 0 { work.with_last_output() } else { work }
        });
        let work: Vec<_> = work.collect();
        let inputs = work.iter().zip(self.spans).map(|(work, &(rows, _, slot))| {
            let (tokens, rest) = left.split_at(rows as usize);
            left = rest;
            Input { work, tokens, slot }
        });
        let inputs: Vec<_> = inputs.collect();
        step.write(&inputs).unwrap();
        step
    }

    /// A cache with values at all positions of its sequences, also those of the step; NaN elsewhere.
    pub fn pages(&self, case: &Case, heads: AttentionHeads, dtype: DType, keys: Range<f32>) -> KvPages {
        let (keys, values) = (self.fill(case, heads, dtype, keys), self.fill(case, heads, dtype, -2.0..2.0));
        KvPages { keys, values, page_size: PAGE, heads }
    }

    /// Rows that depend only on slot and position; NaN in inactive rows.
    pub fn by_position(&self, case: &Case, name: &str, width: u32, range: Range<f32>) -> Tensor {
        let tensor = case.poisoned([self.capacity(), width], DType::F32);
        let rows = self.spans.iter().flat_map(|&(rows, first, slot)| (first..first + rows).map(move |at| (slot, at)));
        for (row, (slot, position)) in (0..).zip(rows) {
            let mut random = Random::new(&format!("{name} {slot} {position}"));
            let values: Vec<f32> = (0..width).map(|_| random.within(&range)).collect();
            tensor.write(row * u64::from(width), &values).unwrap();
        }
        tensor
    }

    /// Sets every element of a position's heads to one value, at all positions of the sequences.
    pub fn overwrite(&self, cache: &mut Tensor, kv_heads: u32, value: impl Fn(u32) -> f32) {
        for (_, position, place) in self.places() {
            let row = vec![value(position); cache.width() as usize];
            (0..kv_heads).for_each(|head| keep(cache, place * kv_heads + head, &row));
        }
    }

    fn fill(&self, case: &Case, heads: AttentionHeads, dtype: DType, range: Range<f32>) -> Tensor {
        let rows = self.slots() * self.pages_per_slot() * PAGE * heads.kv;
        let cache = case.poisoned([rows, heads.width], dtype);
        for (slot, position, place) in self.places() {
            let mut random = Random::new(&format!("{range:?} {slot} {position}"));
            for head in 0..heads.kv {
                let row: Vec<f32> = (0..heads.width).map(|_| random.within(&range)).collect();
                keep(&cache, place * heads.kv + head, &row);
            }
        }
        cache
    }

    /// Slot and position of every token up to the end of the step, and its place in the cache.
    pub fn places(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let (per_slot, tables) = (self.pages_per_slot(), self.tables());
        self.spans.iter().flat_map(|&(rows, first, slot)| (0..first + rows).map(move |at| (slot, at))).map(
            move |(slot, position)| {
                let page = tables[(slot * per_slot + position / PAGE) as usize];
                (slot, position, page * PAGE + position % PAGE)
            },
        )
    }

    fn tables(&self) -> Vec<u32> {
        Random::new("tables").permutation(self.slots() * self.pages_per_slot())
    }
}

/// Writes a head into a cache, in the cache's type.
fn keep(cache: &Tensor, row: u32, head: &[f32]) {
    let first = u64::from(row) * u64::from(cache.width());
    match cache.dtype() {
        DType::F16 => cache.write(first, &head.iter().copied().map(f16::from_f32).collect::<Vec<_>>()).unwrap(),
        DType::Q8Heads => {
            let mut codes = vec![0; head.len()];
            let scale = quantize(head, &mut codes).to_le_bytes();
            let [at, scale_at, _] = Planes::of(DType::Q8Heads, [cache.rows(), cache.width()]).row(row as usize);
            cache.buffer().write(at.start as u64, &codes).unwrap();
            cache.buffer().write(scale_at.start as u64, &scale).unwrap();
        }
        _ => cache.write(first, head).unwrap(),
    }
}
