//! The engine: owns the device, the weights and the caches, and turns sequences of token ids into more of them.
//!
//! It knows nothing of text. Given tokens go through the prompt program and sampled ones through a decode program, also
//! when a preempted sequence is computed again, so that what a sequence yields depends on the sequence alone.

mod ahead;
mod lane;
mod options;
mod outputs;
pub mod sampler;
pub mod scheduler;
mod session;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use crate::{
    engine::{
        sampler::{Sampler, Sampling},
        scheduler::{Batch, Limits, Outcome, Scheduler, SequenceId, State},
    },
    error::{Error, Result},
    kernels::{
        gdn_chunk_solve::CHUNK,
        operands::step::{Kind, Layout},
    },
    model::{
        Model,
        cache::{BLOCK, Cache, Plan},
    },
};
use ahead::Ahead;
use lane::{Lane, Place, Work};
pub use options::Options;
use outputs::Asked;

/// Prompts are cut at multiples of this many tokens.
pub const ALIGN: u32 = 64;

/// Cuts fall between chunks of the gated delta rule.
const _: () = assert!(ALIGN.is_multiple_of(CHUNK));

/// What is wanted of one sequence.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens it starts with; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to add; fewer where the context ends first.
    pub most: usize,
    /// Ids that end it.
    pub stop: BTreeSet<u32>,
    /// What becomes of its memory at the end.
    pub then: Then,
}

/// What becomes of a sequence's memory when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// It is given back.
    Forget,
    /// It is kept for [`Engine::resume`], until others need it.
    Keep,
}

/// One more token of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Whose.
    pub sequence: SequenceId,
    /// The token.
    pub token: u32,
    /// Whether it is the last one.
    pub finish: Option<Finish>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// With a stop id, which is its last token.
    Stop,
    /// With as many tokens as were asked for, or as the context holds.
    Length,
}

/// A sequence, the positions to compute, and whether a token is wanted.
type Piece = (SequenceId, Range<usize>, bool);

struct Sequence {
    tokens: Vec<u32>,
    sampler: Sampler,
    /// Number of tokens at which it ends.
    most: usize,
    stop: BTreeSet<u32>,
    then: Then,
    /// Where its last logits are, until the next step of that kind.
    logits: Option<(Kind, Place)>,
}

/// Owns the backend, the model, the caches and the programs.
pub struct Engine {
    model: Arc<Model>,
    cache: Cache,
    plan: Plan,
    scheduler: Scheduler,
    sequences: BTreeMap<SequenceId, Sequence>,
    prompt: Lane,
    decode: Lane,
    copier: session::Copier,
    /// The block tables as the device has them.
    tables: Vec<Vec<u32>>,
    preemptions: u64,
    /// The decode step that is computed before it is asked for, if one is.
    ahead: Option<Ahead>,
    steps_ahead: u64,
}

impl Engine {
    /// An engine for one model.
    ///
    /// # Errors
    /// [`Error::Request`] for a context that does not fit, with the one that would; [`Error::OutOfMemory`].
    pub fn new(model: Arc<Model>, options: Options) -> Result<Self> {
        let plan = options.plan(&model)?;
        let budget = options.budget_on(model.backend.caps());
        let limits = Limits {
            budget: budget as usize,
            align: ALIGN as usize,
            block: BLOCK as usize,
            blocks: plan.blocks as usize,
            slots: plan.slots as usize,
            sequences: options.sequences as usize,
            context: plan.context as usize,
        };
        let scheduler = Scheduler::new(limits)?;
        let cache = Cache::new(&model.backend, &model.config, &plan)?;
        let lane = |kind, rows| {
            let layout = Layout { rows, sequences: options.sequences };
            Lane::new(&model, kind, layout, cache.tables.clone())
        };
        let prompt = lane(Kind::Prompt, budget)?;
        let decode = lane(Kind::Decode, options.sequences)?;
        let copier = session::Copier::new(&model.backend)?;
        let tables = vec![Vec::new(); plan.slots as usize];
        let sequences = BTreeMap::new();
        Ok(Self {
            model,
            cache,
            plan,
            scheduler,
            sequences,
            prompt,
            decode,
            copier,
            tables,
            preemptions: 0,
            ahead: None,
            steps_ahead: 0,
        })
    }

    /// The model it runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What its caches hold.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many decode steps the device has begun before they were asked for.
    pub fn steps_ahead(&self) -> u64 {
        self.steps_ahead
    }

    /// Bytes of device memory that it holds: weights, caches, and what its programs brought along so far.
    pub fn memory(&self) -> u64 {
        let lanes = self.prompt.bytes() + self.decode.bytes();
        self.model.weights.bytes() + self.plan.bytes(&self.model.config) + lanes
    }

    /// The programs made so far: what each computes, and how many launches it has.
    pub fn dispatches(&self) -> Vec<(String, usize)> {
        self.prompt.dispatches().chain(self.decode.dispatches()).collect()
    }

    /// How often a running sequence had to give its memory to an older one so far, to be computed again later. More
    /// memory for caches, or fewer sequences at once, make this less.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Queues a sequence.
    ///
    /// # Errors
    /// [`Error::Request`] for an empty prompt, one that leaves no room in the context, or ids beyond the vocabulary.
    pub fn add(&mut self, request: Request) -> Result<SequenceId> {
        let most = self.most(&request)?;
        let id = self.scheduler.add(request.prompt.len(), most)?;
        self.sequences.insert(id, self.sequence(request, most)?);
        Ok(id)
    }

    fn sequence(&self, request: Request, most: usize) -> Result<Sequence> {
        let Request { prompt, sampling, stop, then, .. } = request;
        let sampler = Sampler::new(sampling, &prompt, self.model.vocabulary as usize)?;
        Ok(Sequence { tokens: prompt, sampler, most, stop, then, logits: None })
    }

    /// The number of tokens at which a request ends.
    fn most(&self, request: &Request) -> Result<usize> {
        let (length, context) = (request.prompt.len(), self.plan.context as usize);
        if length == 0 {
            return Err(Error::Request("the prompt is empty: there is nothing to continue".into()));
        }
        if length >= context {
            return Err(Error::Request(format!(
                "the prompt has {length} tokens, and the context of {context} leaves no room for an answer; shorten \
                 it or raise --context"
            )));
        }
        let vocabulary = self.model.config.vocabulary;
        if let Some(id) = request.prompt.iter().find(|id| **id >= vocabulary) {
            return Err(Error::Request(format!("token id {id} is not below the vocabulary of {vocabulary}")));
        }
        Ok(length.saturating_add(request.most).min(context))
    }

    /// Whether nothing runs or waits.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Forgets a sequence and gives its memory back.
    pub fn cancel(&mut self, id: SequenceId) {
        self.scheduler.cancel(id);
        self.sequences.remove(&id);
    }

    /// Ends a sequence where it stands: it is kept or forgotten, as its request says.
    pub fn interrupt(&mut self, id: SequenceId) {
        match self.sequences.get(&id).map(|sequence| sequence.then) {
            Some(Then::Keep) => self.scheduler.park(id),
            Some(Then::Forget) => self.cancel(id),
            None => {}
        }
    }

    /// Whether a sequence is being computed or waits for it.
    pub fn is_running(&self, id: SequenceId) -> bool {
        matches!(self.scheduler.state(id), Some(State::Running | State::Waiting))
    }

    /// Whether a sequence is kept for [`Engine::resume`].
    pub fn is_kept(&self, id: SequenceId) -> bool {
        self.scheduler.state(id) == Some(State::Parked)
    }

    /// The tokens of a sequence that has not been forgotten.
    pub fn tokens(&self, id: SequenceId) -> Option<&[u32]> {
        self.sequences.get(&id).map(|sequence| sequence.tokens.as_slice())
    }

    /// The logits that the sequence's last token was chosen from, as long as no other step has run; reads a whole row.
    /// None for a sequence that has none, or that is forgotten.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn logits(&self, id: SequenceId) -> Result<Option<Vec<f32>>> {
        let place = self.sequences.get(&id).and_then(|sequence| sequence.logits);
        place.map(|(kind, place)| self.lane(kind).outputs(place.turn).row(place.row)).transpose()
    }

    fn lane(&self, kind: Kind) -> &Lane {
        match kind {
            Kind::Prompt => &self.prompt,
            Kind::Decode => &self.decode,
        }
    }

    /// Computes one step and returns the tokens that came of it; none while prompts are being computed.
    ///
    /// # Errors
    /// [`Error::Device`], and [`Error::OutOfMemory`] when a program is prepared. The step's sequences are forgotten.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        let batch = self.scheduler.schedule();
        self.preemptions += batch.preempted.len() as u64;
        match self.compute(&batch) {
            Ok(chosen) => Ok(self.commit(&batch, &chosen)),
            Err(error) => {
                self.give_up(&batch);
                Err(error)
            }
        }
    }

    /// Runs a batch and chooses a token for each sequence that wants one.
    fn compute(&mut self, batch: &Batch) -> Result<Vec<(SequenceId, u32)>> {
        let chunks = batch.chunks.iter().map(|c| (c.sequence, c.start..c.start + c.length, c.sample));
        let singles = batch.singles.iter().map(|s| (s.sequence, s.position..s.position + 1, s.sample));
        let (chunks, singles) = (chunks.collect::<Vec<_>>(), singles.collect::<Vec<_>>());
        let mut chosen = self.run(Kind::Prompt, &chunks, 0)?;
        chosen.extend(self.decode(&singles)?);
        Ok(chosen)
    }

    /// Computes pieces, leaves them in one of a lane's outputs, and chooses tokens.
    fn run(&mut self, kind: Kind, pieces: &[Piece], turn: usize) -> Result<Vec<(SequenceId, u32)>> {
        let asked = self.start(kind, pieces, turn)?;
        self.choose(kind, pieces, turn, asked)
    }

    fn start(&mut self, kind: Kind, pieces: &[Piece], turn: usize) -> Result<Asked> {
        if pieces.is_empty() {
            return Ok(Asked::default());
        }
        self.upload(pieces)?;
        let work = pieces.iter().map(|(id, range, sample)| {
            let sequence = &self.sequences[id];
            let need = sample.then(|| sequence.sampler.needs());
            Work {
                ids: &sequence.tokens[range.clone()],
                position: range.start as u32,
                slot: slot(&self.scheduler, *id),
                need,
            }
        });
        let work: Vec<_> = work.collect();
        let lane = if kind == Kind::Prompt { &mut self.prompt } else { &mut self.decode };
        lane.run(&self.model, &mut self.cache, &work, turn)
    }

    /// Waits for what was asked of a run, and chooses a token for each piece that wants one.
    fn choose(&mut self, kind: Kind, pieces: &[Piece], turn: usize, asked: Asked) -> Result<Vec<(SequenceId, u32)>> {
        let lane = if kind == Kind::Prompt { &self.prompt } else { &self.decode };
        let read = asked.wait(lane.outputs(turn))?;
        let mut chosen = Vec::new();
        for ((id, ..), row) in pieces.iter().zip(&read.rows) {
            if let Some(row) = *row {
                let sequence = self.sequences.get_mut(id).expect("a sequence of this batch");
                chosen.push((*id, read.choose(row, &mut sequence.sampler)?));
                sequence.logits = Some((kind, Place { turn, row }));
            }
        }
        Ok(chosen)
    }

    /// Brings the device's block tables up to date.
    fn upload(&mut self, pieces: &[Piece]) -> Result<()> {
        for (id, ..) in pieces {
            let (slot, blocks) = (slot(&self.scheduler, *id), self.scheduler.blocks(*id));
            let known = &mut self.tables[slot as usize];
            if known.as_slice() != blocks {
                let tables = &self.cache.tables;
                tables.write(u64::from(slot) * u64::from(tables.width()), blocks)?;
                blocks.clone_into(known);
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, chosen: &[(SequenceId, u32)]) -> Vec<Event> {
        let (mut events, mut outcomes) = (Vec::new(), Vec::new());
        for &(id, token) in chosen {
            let sequence = self.sequences.get_mut(&id).expect("a sequence of this batch");
            sequence.sampler.accept(token);
            sequence.tokens.push(token);
            let finish = match () {
                () if sequence.stop.contains(&token) => Some(Finish::Stop),
                () if sequence.tokens.len() >= sequence.most => Some(Finish::Length),
                () => None,
            };
            outcomes.push((
                id,
                match (finish, sequence.then) {
                    (None, _) => Outcome::Token,
                    (Some(_), Then::Keep) => Outcome::Parked { token: true },
                    (Some(_), Then::Forget) => Outcome::Finished,
                },
            ));
            if finish.is_some() && sequence.then == Then::Forget {
                self.sequences.remove(&id);
            }
            events.push(Event { sequence: id, token, finish });
        }
        self.scheduler.commit(batch, &outcomes);
        events
    }

    /// After a step that failed, its sequences are in an unknown state.
    fn give_up(&mut self, batch: &Batch) {
        let chunks = batch.chunks.iter().map(|chunk| chunk.sequence);
        for id in chunks.chain(batch.singles.iter().map(|single| single.sequence)) {
            self.cancel(id);
        }
        self.scheduler.commit(batch, &[]);
    }
}

fn slot(scheduler: &Scheduler, running: SequenceId) -> u32 {
    scheduler.slot(running).expect("a running sequence has a slot")
}
