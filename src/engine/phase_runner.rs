//! The programs of one phase, their step buffer and their outputs.

use std::{collections::BTreeMap, ops::Range};

use super::{
    readback::{Outputs, PendingTokens, Select},
    runner::{LogitRows, Runner, logit_rows},
};
use crate::{
    compute::pass::{Pass, Program},
    error::Result,
    kernels::{
        feed_tokens::feed_tokens,
        operands::step::{Input, Layout, Phase, Step},
        top_k::top_k,
    },
    ops::select::argmax,
};

/// Runs prefill or decode. Programs are stored by bucket and recorded at first use.
pub(super) struct PhaseRunner {
    phase: Phase,
    step: Step,
    /// Two sets: the host reads one set while the next run writes the other.
    outputs: [Outputs; 2],
    programs: BTreeMap<Key, Program>,
    last: Option<Key>,
}

/// The properties that distinguish programs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    rows: u32,
    select: Select,
    source: TokenSource,
    output_set: usize,
}

/// The source of a program's input tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TokenSource {
    /// The host wrote the tokens.
    Host,
    /// The previous run chose the tokens.
    Device,
}

/// The location of a row of logits.
#[derive(Clone, Copy)]
pub(super) struct LogitsRow {
    pub(super) phase: Phase,
    pub(super) output_set: usize,
    pub(super) row: u32,
}

impl PhaseRunner {
    pub(super) fn new(runner: &Runner, phase: Phase, layout: Layout) -> Result<Self> {
        let (step, model) = (runner.step(phase, layout)?, runner.model());
        let new = || Outputs::new(&model.backend, layout.outputs, model.config.vocabulary);
        Ok(Self { phase, step, outputs: [new()?, new()?], programs: BTreeMap::new(), last: None })
    }

    /// Device memory of outputs and scratch buffers, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let outputs: u64 = self.outputs.iter().map(Outputs::bytes).sum();
        outputs + self.programs.values().map(|program| program.scratch_bytes).sum::<u64>()
    }

    /// The name and the number of dispatches of each program. Omits programs that only continue another one.
    pub(super) fn dispatches(&self) -> impl Iterator<Item = (String, usize)> {
        let name = if self.phase == Phase::Prefill { "prompt" } else { "decode" };
        let named = move |(key, program): (&Key, &Program)| {
            let first = (key.source, key.output_set) == (TokenSource::Host, 0);
            first.then(|| (format!("{name} of {}", key.rows), program.dispatches.len()))
        };
        self.programs.iter().filter_map(named)
    }

    /// Runs the inputs, writes one output set, and requests the selection `select` of each output.
    pub(super) fn run(
        &mut self,
        runner: &mut Runner,
        inputs: &[Input<'_>],
        select: Select,
        output_set: usize,
    ) -> Result<PendingTokens> {
        self.step.write(inputs)?;
        let rows = self.bucket(inputs.len() as u32);
        let key = Key { rows, select, source: TokenSource::Host, output_set };
        self.submit(runner, key, self.output_rows(inputs))
    }

    /// Runs the next step of the same `count` sequences, with the tokens that the device chose. Requests its choices.
    pub(super) fn follow(&mut self, runner: &mut Runner, count: u32) -> Result<PendingTokens> {
        let last = self.last.expect("a run to follow");
        let key = Key { source: TokenSource::Device, output_set: 1 - last.output_set, ..last };
        self.submit(runner, key, (0..count).map(|row| row..row + 1).collect())
    }

    /// The number of the output set that the last run writes.
    pub(super) fn output_set(&self) -> usize {
        self.last.map_or(0, |key| key.output_set)
    }

    /// One output set.
    pub(super) fn outputs(&self, output_set: usize) -> &Outputs {
        &self.outputs[output_set]
    }

    /// The rows of logits of each input: a decode step has one for each of its rows, prefill one for each output.
    fn output_rows(&self, inputs: &[Input<'_>]) -> Vec<Range<u32>> {
        let mut row = 0;
        let rows = inputs.iter().map(|input| {
            let (first, outputs) = (row, input.work.outputs.len() as u32);
            row += if self.phase == Phase::Decode { 1 } else { outputs };
            first..first + outputs
        });
        rows.collect()
    }

    fn submit(&mut self, runner: &mut Runner, key: Key, rows: Vec<Range<u32>>) -> Result<PendingTokens> {
        if !self.programs.contains_key(&key) {
            let pass = self.record(runner, key);
            self.programs.insert(key, runner.model().backend.load(pass)?);
        }
        self.last = Some(key);
        self.outputs[key.output_set].run(&*runner.model().backend, &self.programs[&key], rows, key.select)
    }

    /// Number of rows of the program for `sequences` sequences.
    fn bucket(&self, sequences: u32) -> u32 {
        match self.phase {
            Phase::Prefill => self.step.capacity(),
            Phase::Decode => sequences.next_power_of_two().min(self.step.capacity()),
        }
    }

    /// Records the forward pass and the choice of tokens.
    fn record(&mut self, runner: &mut Runner, key: Key) -> Pass {
        let p = Pass::new(&runner.caps);
        let step = self.step.bucket(key.rows);
        if key.source == TokenSource::Device {
            feed_tokens(runner.model().recorder(&p, &step), &self.outputs[1 - key.output_set].tokens);
        }
        let out = &mut self.outputs[key.output_set];
        runner.forward(&p, &step, LogitRows::Outputs, &mut out.logits);
        let (model, rows) = (runner.model(), logit_rows(&step));
        let r = model.recorder(&p, &rows);
        match key.select {
            Select::Greedy => argmax(r, &out.logits, model.vocabulary, &mut out.tokens),
            Select::Candidates => top_k(r, &out.logits, model.vocabulary, &mut out.ids, &mut out.values),
        }
        p
    }
}
