//! One kind of work: its step buffer, its programs, its outputs.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Options,
    outputs::{Asked, Outputs, Select},
};
use crate::{
    compute::{
        dtype::DType,
        pass::{Pass, Program},
        tensor::Tensor,
    },
    engine::sampler::Need,
    error::Result,
    kernels::{
        advance::advance,
        operands::step::{Entry, Kind, Layout, Step},
        top_k::top_k,
    },
    model::{Model, cache::Cache, qwen3_5::forward},
    ops::select::argmax,
};

/// One sequence's part of a step.
pub(super) struct Work<'a> {
    pub(super) ids: &'a [u32],
    pub(super) position: u32,
    pub(super) slot: u32,
    /// What its sampler reads, if a token is wanted.
    pub(super) need: Option<Need>,
}

/// Prompt or decode work: programs by bucket, recorded when first needed.
pub(super) struct Lane {
    kind: Kind,
    step: Step,
    /// Two, so that what a run chose can still be looked at while the next one computes.
    outputs: [Outputs; 2],
    programs: BTreeMap<Key, Program>,
    last: Option<Key>,
}

/// What a program is made for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    rows: u32,
    select: Select,
    feed: Feed,
    /// Which outputs it leaves.
    turn: usize,
}

/// Where a program's tokens come from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Feed {
    /// The host has written them.
    Host,
    /// The run before has chosen them.
    Device,
}

/// Where a row of logits is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) turn: usize,
    pub(super) row: u32,
}

impl Lane {
    pub(super) fn new(model: &Model, kind: Kind, layout: Layout, tables: Arc<Tensor>) -> Result<Self> {
        let step = Step::new(&model.backend, layout, kind, tables)?;
        let new = || Outputs::new(&model.backend, layout.sequences, model.config.vocabulary);
        Ok(Self { kind, step, outputs: [new()?, new()?], programs: BTreeMap::new(), last: None })
    }

    /// Bytes of device memory it holds.
    pub(super) fn bytes(&self) -> u64 {
        let outputs: u64 = self.outputs.iter().map(Outputs::bytes).sum();
        outputs + self.programs.values().map(|program| program.scratch_bytes).sum::<u64>()
    }

    /// What each program computes, and how many launches it has; what only continues another one is left out.
    pub(super) fn dispatches(&self) -> impl Iterator<Item = (String, usize)> {
        let name = if self.kind == Kind::Prompt { "prompt" } else { "decode" };
        let named = move |(key, program): (&Key, &Program)| {
            let first = (key.feed, key.turn) == (Feed::Host, 0);
            first.then(|| (format!("{name} of {}", key.rows), program.dispatches.len()))
        };
        self.programs.iter().filter_map(named)
    }

    /// Computes some sequences' parts into one of its outputs and asks for what their samplers need.
    pub(super) fn run(&mut self, model: &Model, cache: &mut Cache, work: &[Work<'_>], turn: usize) -> Result<Asked> {
        let entries = work.iter().map(|work| {
            let rows = work.ids.len() as u32;
            let first = if work.need.is_some() { rows - 1 } else { rows };
            Entry { ids: work.ids, position: work.position, slot: work.slot, outputs: first..rows }
        });
        self.step.write(&entries.collect::<Vec<_>>())?;
        let select = work.iter().filter_map(|work| work.need).fold(Select::Greedy, Select::or);
        let key = Key { rows: self.bucket(work.len() as u32), select, feed: Feed::Host, turn };
        // A decode step leaves a row for each sequence, a prompt one for each that wants it.
        let mut row = 0;
        let rows = work.iter().map(|work| {
            let wanted = work.need.is_some();
            row += u32::from(wanted || self.kind == Kind::Decode);
            wanted.then(|| row - 1)
        });
        let rows = rows.collect();
        self.submit(model, cache, key, rows)
    }

    /// Computes the step after the last one, of the same `count` sequences with the tokens that the device chose, and asks
    /// for what it chooses then.
    pub(super) fn follow(&mut self, model: &Model, cache: &mut Cache, count: u32) -> Result<Asked> {
        let last = self.last.expect("a run to follow");
        let key = Key { feed: Feed::Device, turn: 1 - last.turn, ..last };
        self.submit(model, cache, key, (0..count).map(Some).collect())
    }

    /// Which outputs the last run leaves.
    pub(super) fn turn(&self) -> usize {
        self.last.map_or(0, |key| key.turn)
    }

    /// The outputs of a run.
    pub(super) fn outputs(&self, turn: usize) -> &Outputs {
        &self.outputs[turn]
    }

    fn submit(&mut self, model: &Model, cache: &mut Cache, key: Key, rows: Vec<Option<u32>>) -> Result<Asked> {
        if !self.programs.contains_key(&key) {
            let pass = self.record(model, cache, key);
            self.programs.insert(key, model.backend.load(pass)?);
        }
        self.last = Some(key);
        self.outputs[key.turn].run(&*model.backend, &self.programs[&key], (rows, key.select))
    }

    /// Rows of the program that takes `sequences` sequences.
    fn bucket(&self, sequences: u32) -> u32 {
        match self.kind {
            Kind::Prompt => self.step.capacity(),
            Kind::Decode => sequences.next_power_of_two().min(self.step.capacity()),
        }
    }

    /// The forward pass and the choice of tokens.
    fn record(&mut self, model: &Model, cache: &mut Cache, key: Key) -> Pass {
        let p = Pass::new(model.backend.caps());
        let step = self.step.bucket(key.rows);
        if key.feed == Feed::Device {
            advance(&p, &step, &self.outputs[1 - key.turn].tokens);
        }
        let out = &mut self.outputs[key.turn];
        forward(&p, &model.weights, cache, &step, &mut out.logits);
        let step = if self.kind == Kind::Prompt { step.outputs() } else { step };
        match key.select {
            Select::Greedy => argmax(&p, &step, &out.logits, model.vocabulary, &mut out.tokens),
            Select::Candidates => top_k(&p, &step, &out.logits, model.vocabulary, (&mut out.ids, &mut out.values)),
        }
        p
    }
}

/// Bytes that the lanes of an engine will hold, from above.
pub(super) fn estimate(model: &Model, options: &Options) -> u64 {
    let config = &model.config;
    let widest = model.weights.widest() + u64::from(config.intermediate) + 4 * u64::from(config.hidden);
    let caps = model.backend.caps();
    let budget = options.budget_on(caps);
    let rows = u64::from(budget) + 4 * u64::from(options.sequences);
    let on_units = caps.matrix_units.is_some() && model.weights.inputs == DType::F16;
    let expanded = match on_units {
        true => model.weights.expanded_bytes([budget, options.sequences], caps.tiles.expand),
        false => 0,
    };
    2 * (4 * rows * widest + expanded) + 4 * 4 * u64::from(options.sequences) * u64::from(config.vocabulary)
}
