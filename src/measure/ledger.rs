//! What a step costs before it is run: launches, barriers, submissions, waits, bytes and operations, by kernel.
//!
//! [`Rehearsal`] plays an engine on [`Paper`]: no device is needed and no weights are allocated, and what is counted is
//! what the engine itself asks for.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use crate::{
    compute::{
        backend::Backend,
        caps::Caps,
        cost::{Cost, Load},
        dry_run::{Notes, Paper},
        kernel::Dispatch,
    },
    engine::{
        ALIGN, AtEnd, Engine, Request,
        sampler::{Mode, Sampling},
        scheduler::SequenceId,
    },
    error::{Error, Result},
    generate::generator::Setup,
    measure::chips::Chip,
    model::{Model, weights::Source},
};

/// The cost of everything that one step asked for.
pub struct Ledger {
    /// In order.
    pub launches: Vec<Launch>,
    /// Programs handed over.
    pub submissions: u64,
    /// Times that the host waited for the device.
    pub waits: u64,
}

/// One launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Of which kernel.
    pub kernel: &'static str,
    /// Whether it waits for what came before.
    pub barrier: bool,
    /// What it costs at the least.
    pub cost: Cost,
}

/// All launches of one kernel, or of all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Of which kernel; `None` for those of all.
    pub kernel: Option<&'static str>,
    /// How many.
    pub launches: u64,
    /// How many of them wait for what came before.
    pub barriers: u64,
    /// What they cost together.
    pub cost: Cost,
}

impl Ledger {
    /// The ledger of what was asked of a device for one load.
    pub fn new(notes: &Notes, load: &Load) -> Self {
        let launches = notes.launches.iter().map(|launch| Launch {
            kernel: launch.kernel.name,
            barrier: launch.barrier,
            cost: launch.cost(load),
        });
        Self { launches: launches.collect(), submissions: notes.submissions, waits: notes.waits }
    }

    /// An entry for each kernel, the one that moves the most bytes first.
    pub fn kernels(&self) -> Vec<Entry> {
        let names: BTreeSet<_> = self.launches.iter().map(|launch| launch.kernel).collect();
        let mut entries: Vec<_> = names.into_iter().map(|name| self.entry(Some(name))).collect();
        entries.sort_by_key(|entry| Reverse(entry.cost.moved()));
        entries
    }

    /// All launches together.
    pub fn total(&self) -> Entry {
        self.entry(None)
    }

    fn of<'a>(&'a self, kernel: Option<&'a str>) -> impl Iterator<Item = &'a Launch> {
        self.launches.iter().filter(move |launch| kernel.is_none_or(|name| launch.kernel == name))
    }

    fn entry(&self, kernel: Option<&'static str>) -> Entry {
        Entry {
            kernel,
            launches: self.of(kernel).count() as u64,
            barriers: self.of(kernel).filter(|launch| launch.barrier).count() as u64,
            cost: self.of(kernel).map(|launch| launch.cost).sum(),
        }
    }

    /// Seconds that the launches of a kernel, or of all, take at the least on a chip: each takes as long as its bytes
    /// or its operations do, whichever is longer, and none overlaps with another. Launches themselves cost nothing.
    pub fn floor(&self, chip: &Chip, kernel: Option<&str>) -> f64 {
        self.of(kernel).map(|launch| chip.floor(&launch.cost)).sum()
    }
}

impl Entry {
    /// The kernel's name, or `total`.
    pub fn name(&self) -> &'static str {
        self.kernel.unwrap_or("total")
    }
}

/// An engine played on paper.
pub struct Rehearsal {
    paper: Arc<Paper>,
    engine: Engine,
}

impl Rehearsal {
    /// An engine for a model's shape on a device with these capabilities. `setup` must allow for the context and the
    /// sequences that are to be asked for: [`Rehearsal::context`].
    ///
    /// # Errors
    /// [`Error::Tensor`] for a checkpoint that lacks weights; [`Error::Request`] for a context that the device could
    /// not bind.
    pub fn new(caps: Caps, source: &Source<'_>, setup: Setup) -> Result<Self> {
        let paper = Arc::new(Paper::new(caps));
        let backend: Arc<dyn Backend> = paper.clone();
        let model = Model::load(&backend, &Source::Shapes(source), setup.form(), &mut |_, _| {})?;
        let engine = Engine::new(Arc::new(model), setup.engine)?;
        Ok(Self { paper, engine })
    }

    /// The context that `sequences` sequences need to be decoded after `depth` tokens each, given the budget of a step:
    /// the first go on while the last are being prepared.
    pub fn context(sequences: u32, depth: u32, budget: u32) -> u32 {
        // What is left of a step beside a token of each sequence that is already being decoded.
        let chunk = (budget.saturating_sub(sequences) / ALIGN * ALIGN).max(ALIGN);
        let steps = depth.div_ceil(chunk).saturating_add(2);
        depth.saturating_add(sequences.saturating_mul(steps)).saturating_add(4)
    }

    /// The ledger of one more token for each of `sequences` sequences after `depth` tokens, at least one.
    ///
    /// # Errors
    /// [`Error::Request`] if the engine cannot decode so many sequences together.
    pub fn decode(&mut self, sequences: u32, depth: u32) -> Result<Ledger> {
        let depth = depth.max(1);
        let most = self.engine.plan().context.saturating_sub(depth);
        let ids = (0..sequences).map(|_| self.add(depth, most)).collect::<Result<Vec<_>>>()?;
        let mut first = BTreeSet::new();
        while first.len() < ids.len() && !self.engine.is_idle() {
            first.extend(self.engine.step()?.iter().map(|event| event.sequence));
        }
        self.paper.take();
        let tokens = self.engine.step()?.len();
        let ledger = Ledger::new(&self.paper.take(), &Load::decode(sequences, depth));
        ids.into_iter().for_each(|id| self.engine.cancel(id));
        let together = tokens == sequences as usize;
        together.then_some(ledger).ok_or_else(|| unfit(&format!("{sequences} sequences of {depth} tokens")))
    }

    /// The ledger of a prompt's last `rows` tokens after `depth` others, the first answer's token included.
    ///
    /// # Errors
    /// [`Error::Request`] if the engine does not compute so many in one step.
    pub fn prefill(&mut self, rows: u32, depth: u32) -> Result<Ledger> {
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
        self.paper.take();
        let tokens = self.engine.step()?.len();
        let ledger = Ledger::new(&self.paper.take(), &Load::prompt(rows, depth));
        self.engine.cancel(id);
        (tokens == 1).then_some(ledger).ok_or_else(|| unfit(&format!("{rows} tokens of a prompt after {depth}")))
    }

    /// Every launch of two short answers, one chosen greedily and one by chance: what an engine has to compile before it
    /// can answer.
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
        Ok(self.paper.take().launches)
    }

    fn add(&mut self, prompt: u32, max_tokens: u32) -> Result<SequenceId> {
        let request = self.request(prompt, max_tokens);
        self.engine.add(request)
    }

    /// Paper answers with zeros, so every sequence consists of them.
    fn request(&self, prompt: u32, max_tokens: u32) -> Request {
        let (prompt, max_tokens) = (vec![0; prompt as usize], max_tokens as usize);
        Request { prompt, sampling: Sampling::greedy(), max_tokens, stop: BTreeSet::new(), at_end: AtEnd::Keep }
    }
}

fn unfit(what: &str) -> Error {
    Error::Request(format!("{what} do not fit one step of this engine; raise --budget or --context, or ask for fewer"))
}
