//! An engine on a dry-run device: its steps only log their requests to the device.
//!
//! No weights are allocated. The log shows which kernels a first answer needs compiled, and what a step costs.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    ALIGN, AtEnd, Engine, EngineOptions, Request,
    sampler::{Mode, Sampling},
    scheduler::SequenceId,
};
use crate::{
    compute::{
        backend::Backend,
        caps::Caps,
        cost::Load,
        dry_run::{DryRun, DryRunLog},
        kernel::Dispatch,
    },
    error::{Error, Result},
    model::{Model, Precision, weights::Source},
};

/// The requests of one step to the device.
pub struct DryStep {
    /// Dispatches, submissions and waits.
    pub log: DryRunLog,
    /// The tokens of the step.
    pub load: Load,
}

/// An engine on a dry-run device.
pub struct DryEngine {
    device: Arc<DryRun>,
    engine: Engine,
}

impl DryEngine {
    /// Creates an engine for a model's shapes on a device with these capabilities. `options` must allow the context and
    /// the sequences of later calls: see [`DryEngine::context`].
    ///
    /// # Errors
    /// [`Error::Tensor`] for missing weights; [`Error::Request`] for a context that exceeds the device's binding limit.
    pub fn new(caps: Caps, source: &Source<'_>, precision: Precision, options: EngineOptions) -> Result<Self> {
        let device = Arc::new(DryRun::new(caps));
        let backend: Arc<dyn Backend> = device.clone();
        let model = Model::load(&backend, &Source::Shapes(source), precision, &mut |_, _| {})?;
        let engine = Engine::new(Arc::new(model), options)?;
        Ok(Self { device, engine })
    }

    /// The context, in tokens, to decode `sequences` sequences together after `depth` tokens each, with `budget` tokens
    /// per step. The first sequences already decode while the last ones are in prefill.
    pub fn context(sequences: u32, depth: u32, budget: u32) -> u32 {
        // Prefill tokens per step: the budget minus one token for each decoding sequence.
        let chunk = (budget.saturating_sub(sequences) / ALIGN * ALIGN).max(ALIGN);
        let steps = depth.div_ceil(chunk).saturating_add(2);
        depth.saturating_add(sequences.saturating_mul(steps)).saturating_add(4)
    }

    /// One decode step of `sequences` sequences after `depth` tokens each (at least one).
    ///
    /// # Errors
    /// [`Error::Request`] if the engine cannot decode this number of sequences together.
    pub fn decode(&mut self, sequences: u32, depth: u32) -> Result<DryStep> {
        let depth = depth.max(1);
        let max_tokens = self.engine.plan().context.saturating_sub(depth);
        let ids = (0..sequences).map(|_| self.add(depth, max_tokens)).collect::<Result<Vec<_>>>()?;
        let mut first = BTreeSet::new();
        while first.len() < ids.len() && !self.engine.is_idle() {
            first.extend(self.engine.step()?.iter().map(|event| event.sequence));
        }
        self.device.take();
        let tokens = self.engine.step()?.len();
        let step = DryStep { log: self.device.take(), load: Load::decode(sequences, depth) };
        ids.into_iter().for_each(|id| self.engine.cancel(id));
        let together = tokens == sequences as usize;
        together.then_some(step).ok_or_else(|| unfit(&format!("{sequences} sequences of {depth} tokens")))
    }

    /// One prefill step of a prompt's last `rows` tokens after `depth` others, with the choice of the first token.
    ///
    /// # Errors
    /// [`Error::Request`] if the engine does not compute this number of tokens in one step.
    pub fn prefill(&mut self, rows: u32, depth: u32) -> Result<DryStep> {
        let whole = self.request(depth.saturating_add(rows), 1);
        let id = if depth == 0 {
            self.engine.add(whole)?
        } else {
            let id = self.add(depth, 1)?;
            while !self.engine.is_idle() {
                self.engine.step()?;
            }
            self.engine.resume(id, whole)?;
            id
        };
        self.device.take();
        let tokens = self.engine.step()?.len();
        let step = DryStep { log: self.device.take(), load: Load::prompt(rows, depth) };
        self.engine.cancel(id);
        (tokens == 1).then_some(step).ok_or_else(|| unfit(&format!("{rows} tokens of a prompt after {depth}")))
    }

    /// All dispatches of two short answers, one greedy and one random: the kernels that an engine must compile
    /// before its first answer.
    ///
    /// # Errors
    /// Those of [`Engine::step`].
    pub fn answer(mut self) -> Result<Vec<Dispatch>> {
        for sampling in [Sampling::greedy(), Sampling::model_card(Mode::Direct)] {
            let id = self.engine.add(Request { sampling, at_end: AtEnd::Free, ..self.request(1, 8) })?;
            while !self.engine.is_idle() {
                self.engine.step()?;
            }
            self.engine.cancel(id);
        }
        Ok(self.device.take().dispatches)
    }

    fn add(&mut self, prompt: u32, max_tokens: u32) -> Result<SequenceId> {
        let request = self.request(prompt, max_tokens);
        self.engine.add(request)
    }

    /// A dry-run device reads back zeros, so all tokens of a sequence are 0.
    fn request(&self, prompt: u32, max_tokens: u32) -> Request {
        let (prompt, max_tokens) = (vec![0; prompt as usize], max_tokens as usize);
        Request { prompt, sampling: Sampling::greedy(), max_tokens, stop: BTreeSet::new(), at_end: AtEnd::Keep }
    }
}

fn unfit(what: &str) -> Error {
    Error::Request(format!("{what} do not fit one step of this engine; raise --budget or --context, or ask for fewer"))
}
