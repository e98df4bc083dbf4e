//! The engine: owns the device, the weights and the caches, and extends sequences of token ids.
//!
//! The engine knows no text. Given tokens go through the prefill program, sampled tokens through a decode program. This
//! also holds when a preempted sequence is recomputed, so the output of a sequence depends on the sequence alone.

mod ahead;
mod dry_run;
mod hidden_state;
mod memory;
mod options;
mod phase_runner;
mod readback;
mod request;
mod runner;
pub mod sampler;
pub mod scheduler;
mod session;
mod step_loop;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use crate::{
    engine::{
        sampler::Sampler,
        scheduler::{Limits, Scheduler, State},
    },
    error::{Error, Result},
    kernels::{
        gdn_chunk_solve::CHUNK,
        operands::step::{Layout, Phase, SequenceId},
    },
    model::{
        Model,
        cache::{PAGE, Plan},
    },
};
use ahead::Ahead;
pub use dry_run::{DryEngine, DryStep};
pub use hidden_state::last_hidden_state;
pub use options::EngineOptions;
use phase_runner::{LogitsRow, PhaseRunner};
pub use request::{AtEnd, Event, Finish, Request};
pub use runner::{LogitRows, Prepared, Recording, Runner};

/// Prefill cuts prompts at multiples of this number of tokens.
pub const ALIGN: u32 = 64;

/// Every cut is at the end of a chunk of the gated delta rule.
const _: () = assert!(ALIGN.is_multiple_of(CHUNK));

struct Sequence {
    tokens: Vec<u32>,
    sampler: Sampler,
    /// Number of tokens at which the sequence ends.
    max_len: usize,
    stop: BTreeSet<u32>,
    at_end: AtEnd,
    /// The location of its last logits, until the next step of that phase.
    logits: Option<LogitsRow>,
}

impl Sequence {
    /// The finish reason if this token, the last one, ends the sequence. `None` if the sequence continues.
    fn finish(&self, token: u32) -> Option<Finish> {
        if self.stop.contains(&token) {
            Some(Finish::Stop)
        } else if self.tokens.len() >= self.max_len {
            Some(Finish::Length)
        } else {
            None
        }
    }
}

/// Owns the backend, the model, the caches and the programs. Serves many sequences of token ids at once: each step
/// computes a part of every sequence.
///
/// ```no_run
/// # fn main() -> bimetal::Result<()> {
/// use std::{path::Path, sync::Arc};
///
/// use bimetal::{BackendChoice, Checkpoint, Engine, EngineOptions, Model, Precision, Request, Sampling};
///
/// let backend = bimetal::open(BackendChoice::Auto, None)?.backend;
/// let checkpoint = Checkpoint::open(Path::new("Qwen3.5-0.8B-Q4_K_M.gguf"))?;
/// let model = Model::of(&backend, &checkpoint, Precision::default())?;
/// let mut engine = Engine::new(Arc::new(model), EngineOptions { sequences: 2, ..EngineOptions::default() })?;
/// for prompt in [vec![11, 12], vec![21, 22, 23]] {
///     engine.add(Request::new(prompt, Sampling::greedy(), 100))?;
/// }
/// while !engine.is_idle() {
///     for event in engine.step()? {
///         println!("{}: {} {:?}", event.sequence, event.token, event.finish);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    runner: Runner,
    scheduler: Scheduler,
    sequences: BTreeMap<SequenceId, Sequence>,
    prefill: PhaseRunner,
    decode: PhaseRunner,
    copier: session::Copier,
    /// The page tables on the device, by slot.
    tables: Vec<Vec<u32>>,
    preemptions: u64,
    /// The decode step computed ahead of its request, if any.
    ahead: Option<Ahead>,
    steps_ahead: u64,
}

impl Engine {
    /// Creates an engine for one model.
    ///
    /// # Errors
    /// [`Error::Request`] for a context that does not fit, with the largest context that fits; [`Error::OutOfMemory`].
    pub fn new(model: Arc<Model>, options: EngineOptions) -> Result<Self> {
        let plan = options.plan(&model)?;
        let budget = options.budget_on(model.backend.caps());
        let limits = Limits {
            budget: budget as usize,
            align: ALIGN as usize,
            page_size: PAGE as usize,
            pages: plan.pages as usize,
            slots: plan.slots as usize,
            sequences: options.sequences as usize,
            context: plan.context as usize,
        };
        let scheduler = Scheduler::new(limits)?;
        let runner = Runner::new(model, plan)?;
        let phase_runner = |phase, rows| {
            let layout = Layout { rows, sequences: options.sequences, outputs: options.sequences };
            PhaseRunner::new(&runner, phase, layout)
        };
        let prefill = phase_runner(Phase::Prefill, budget)?;
        let decode = phase_runner(Phase::Decode, options.sequences)?;
        let copier = session::Copier::new(&runner.model().backend)?;
        let tables = vec![Vec::new(); plan.slots as usize];
        let sequences = BTreeMap::new();
        Ok(Self {
            runner,
            scheduler,
            sequences,
            prefill,
            decode,
            copier,
            tables,
            preemptions: 0,
            ahead: None,
            steps_ahead: 0,
        })
    }

    /// The model of this engine.
    pub fn model(&self) -> &Arc<Model> {
        self.runner.model()
    }

    /// The sizes of the caches.
    pub fn plan(&self) -> &Plan {
        self.runner.plan()
    }

    /// Number of decode steps that the device started ahead of their request.
    pub fn steps_ahead(&self) -> u64 {
        self.steps_ahead
    }

    /// Device memory of the engine in bytes: weights, caches, and the outputs and scratch buffers of its programs.
    pub fn memory(&self) -> u64 {
        self.runner.bytes() + self.prefill.bytes() + self.decode.bytes()
    }

    /// The programs recorded so far: the name and the number of dispatches of each.
    pub fn dispatches(&self) -> Vec<(String, usize)> {
        self.prefill.dispatches().chain(self.decode.dispatches()).collect()
    }

    /// Number of preemptions so far: a running sequence gave its memory to an older one and was recomputed later. More
    /// cache memory or fewer sequences at once reduce this number.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Queues a sequence.
    ///
    /// # Errors
    /// [`Error::Request`] for an empty prompt, a prompt that fills the context, or an id outside the vocabulary.
    pub fn add(&mut self, request: Request) -> Result<SequenceId> {
        let max_len = self.max_len(&request)?;
        let id = self.scheduler.add(request.prompt.len(), max_len)?;
        self.sequences.insert(id, self.sequence(request, max_len)?);
        Ok(id)
    }

    fn sequence(&self, request: Request, max_len: usize) -> Result<Sequence> {
        let Request { prompt, sampling, stop, at_end, .. } = request;
        let sampler = Sampler::new(sampling, &prompt, self.model().vocabulary as usize)?;
        Ok(Sequence { tokens: prompt, sampler, max_len, stop, at_end, logits: None })
    }

    /// The number of tokens at which a request ends.
    fn max_len(&self, request: &Request) -> Result<usize> {
        let (length, context) = (request.prompt.len(), self.plan().context as usize);
        if length == 0 {
            return Err(Error::Request("the prompt is empty: there is nothing to continue".into()));
        }
        if length >= context {
            return Err(Error::Request(format!(
                "the prompt has {length} tokens, and the context of {context} leaves no room for an answer; shorten \
                 it or raise --context"
            )));
        }
        let vocabulary = self.model().config.vocabulary;
        if let Some(id) = request.prompt.iter().find(|id| **id >= vocabulary) {
            return Err(Error::Request(format!("token id {id} is not below the vocabulary of {vocabulary}")));
        }
        Ok(length.saturating_add(request.max_tokens).min(context))
    }

    /// Whether no sequence runs or waits.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Removes a sequence and frees its memory.
    pub fn cancel(&mut self, id: SequenceId) {
        self.scheduler.cancel(id);
        self.sequences.remove(&id);
    }

    /// Ends a sequence now. [`Request::at_end`] says whether the sequence is kept or removed.
    pub fn interrupt(&mut self, id: SequenceId) {
        match self.sequences.get(&id).map(|sequence| sequence.at_end) {
            Some(AtEnd::Keep) => self.scheduler.keep(id),
            Some(AtEnd::Free) => self.cancel(id),
            None => {}
        }
    }

    /// Whether a sequence runs or waits.
    pub fn is_running(&self, id: SequenceId) -> bool {
        matches!(self.scheduler.state(id), Some(State::Running | State::Waiting))
    }

    /// Whether a sequence is kept for [`Engine::resume`].
    pub fn is_kept(&self, id: SequenceId) -> bool {
        self.scheduler.state(id) == Some(State::Kept)
    }

    /// The tokens of a sequence. `None` once the sequence is removed.
    pub fn tokens(&self, id: SequenceId) -> Option<&[u32]> {
        self.sequences.get(&id).map(|sequence| sequence.tokens.as_slice())
    }

    /// The logits of the sequence's last token, \[V\], valid until the next step. Waits for the device to read the row.
    /// `None` if the sequence has no logits yet, or is removed.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn logits(&self, id: SequenceId) -> Result<Option<Vec<f32>>> {
        pollster::block_on(self.logits_async(id))
    }

    /// [`Engine::logits`] for callers that must not block.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn logits_async(&self, id: SequenceId) -> impl Future<Output = Result<Option<Vec<f32>>>> + Send {
        let at = self.sequences.get(&id).and_then(|sequence| sequence.logits);
        let at = at.map(|at| (self.phase_runner(at.phase).outputs(at.output_set), at.row));
        async move {
            match at {
                Some((outputs, row)) => outputs.row(row).await.map(Some),
                None => Ok(None),
            }
        }
    }

    fn phase_runner(&self, phase: Phase) -> &PhaseRunner {
        match phase {
            Phase::Prefill => &self.prefill,
            Phase::Decode => &self.decode,
        }
    }
}
