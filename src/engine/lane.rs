//! One kind of work: its step buffer, its programs, its outputs.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Options,
    outputs::{Chosen, Outputs, Select},
};
use crate::{
    cache::Cache,
    error::Result,
    kernels::{argmax::argmax, top_k::top_k},
    model::{Model, qwen3_5::forward},
    pass::{Pass, Program},
    sampler::Need,
    step::{Entry, Kind, Layout, Step},
    tensor::Tensor,
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
    outputs: Outputs,
    programs: BTreeMap<(u32, Select), Program>,
}

impl Lane {
    pub(super) fn new(model: &Model, kind: Kind, layout: Layout, tables: Arc<Tensor>) -> Result<Self> {
        let step = Step::new(&model.backend, layout, kind, tables)?;
        let outputs = Outputs::new(&model.backend, layout.sequences, model.config.vocabulary)?;
        Ok(Self { kind, step, outputs, programs: BTreeMap::new() })
    }

    /// Bytes of device memory it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.outputs.bytes() + self.programs.values().map(|program| program.scratch_bytes).sum::<u64>()
    }

    /// What each program computes, and how many launches it has.
    pub(super) fn dispatches(&self) -> impl Iterator<Item = (String, usize)> {
        let name = if self.kind == Kind::Prompt { "prompt" } else { "decode" };
        let named = move |((rows, _), program): (&(u32, Select), &Program)| {
            (format!("{name} of {rows}"), program.dispatches.len())
        };
        self.programs.iter().map(named)
    }

    /// Computes some sequences' parts and reads what their samplers need.
    pub(super) fn run(&mut self, model: &Model, cache: &mut Cache, work: &[Work<'_>]) -> Result<Chosen<'_>> {
        let entries = work.iter().map(|work| {
            let rows = work.ids.len() as u32;
            let first = if work.need.is_some() { rows - 1 } else { rows };
            Entry { ids: work.ids, position: work.position, slot: work.slot, outputs: first..rows }
        });
        self.step.write(&entries.collect::<Vec<_>>())?;
        let select = work.iter().filter_map(|work| work.need).fold(Select::Greedy, Select::or);
        let key = (self.bucket(work.len() as u32), select);
        if !self.programs.contains_key(&key) {
            let pass = self.record(model, cache, key);
            self.programs.insert(key, model.backend.load(pass)?);
        }
        model.backend.run(&self.programs[&key])?;
        // A decode step leaves a row for each sequence, a prompt one for each that wants it.
        let mut row = 0;
        let rows = work.iter().map(|work| {
            let wanted = work.need.is_some();
            row += u32::from(wanted || self.kind == Kind::Decode);
            wanted.then(|| row - 1)
        });
        let rows: Vec<_> = rows.collect();
        self.outputs.read(rows, select)
    }

    /// A row of logits of the last run.
    pub(super) fn logits(&self, row: u32) -> Result<Vec<f32>> {
        self.outputs.row(row)
    }

    /// Rows of the program that takes `sequences` sequences.
    fn bucket(&self, sequences: u32) -> u32 {
        match self.kind {
            Kind::Prompt => self.step.capacity(),
            Kind::Decode => sequences.next_power_of_two().min(self.step.capacity()),
        }
    }

    /// The forward pass and the choice of tokens.
    fn record(&mut self, model: &Model, cache: &mut Cache, (bucket, select): (u32, Select)) -> Pass {
        let p = Pass::new(model.backend.caps());
        let step = self.step.bucket(bucket);
        let out = &mut self.outputs;
        forward(&p, &model.weights, cache, &step, &mut out.logits);
        let step = if self.kind == Kind::Prompt { step.outputs() } else { step };
        match select {
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
    let rows = u64::from(options.budget) + 4 * u64::from(options.sequences);
    2 * 4 * rows * widest + 2 * 4 * u64::from(options.sequences) * u64::from(config.vocabulary)
}
