//! The generator: a model on a device with its tokenizer, for many texts at once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    thread,
};

use web_time::Instant;

use super::{
    GenerationOptions, GeneratorOptions, StopAt, Stream, TextAssets, TextEvent, Timing,
    failure::{self, Failure, again},
    open_text::OpenText,
    threads,
};
use crate::{
    compute::{backend::Backend, caps::DeviceKind},
    engine::{AtEnd, DryEngine, Engine, Event, Finish, Request, scheduler::SequenceId},
    error::{Error, Result},
    model::{
        Model,
        checkpoint::Checkpoint,
        weights::{Progress, Source},
    },
};

/// A model on a device with its tokenizer. It generates many texts together: one step computes a part of each text.
///
/// ```no_run
/// # fn main() -> bimetal::Result<()> {
/// let mut llm = bimetal::Generator::open("Qwen/Qwen3.5-0.8B")?;
/// // One text, streamed.
/// for piece in llm.generate("Once upon a time")? {
///     print!("{}", piece?);
/// }
/// // Many texts at once.
/// let options = llm.generation_options();
/// for prompt in ["A fox", "A bear"] {
///     llm.add(prompt, &options)?;
/// }
/// while !llm.is_idle() {
///     for event in llm.step()? {
///         println!("{}: {:?} {:?}", event.id, event.text, event.finish);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Generator {
    /// The checkpoint's tokenizer, template and stop ids.
    pub text: TextAssets,
    pub(super) engine: Engine,
    /// The open texts.
    texts: BTreeMap<SequenceId, OpenText>,
    /// Events not yet returned, oldest first.
    events: Vec<TextEvent>,
    /// Errors not yet returned, oldest first: a step for one stream failed and ended other texts.
    errors: VecDeque<Error>,
}

impl Generator {
    /// Loads a checkpoint onto a backend. `progress` gets the bytes of weights loaded, and the total.
    ///
    /// # Errors
    /// All errors of a checkpoint; [`Error::Request`] for options that do not fit; [`Error::OutOfMemory`].
    pub fn new(
        backend: &Arc<dyn Backend>,
        checkpoint: &Checkpoint,
        options: GeneratorOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let source = Source::Checkpoint(checkpoint);
        let (text, model) = thread::scope(|scope| {
            let compiling = threads::begin(scope, || {
                if let Err(why) = compile(backend, &source, options) {
                    log::debug!("kernels not compiled ahead: {why}");
                }
            });
            let text = threads::begin(scope, || TextAssets::of(checkpoint));
            let started = Instant::now();
            let model = Model::load(backend, &source, options.precision, progress);
            log::debug!("weights in {:.1?}", started.elapsed());
            compiling.join();
            (text.join(), model)
        });
        let (text, mut model) = (text?, model?);
        model.vocabulary = model.vocabulary.min(text.tokenizer.vocabulary() as u32);
        let engine = Engine::new(Arc::new(model), options.engine)?;
        Ok(Self { text, engine, texts: BTreeMap::new(), events: Vec::new(), errors: VecDeque::new() })
    }

    /// The engine, read-only. To work with token ids, build your own [`Engine`] from [`Engine::model`].
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The checkpoint's own options: its sampling, its stop ids, and no limit on tokens but the context.
    pub fn generation_options(&self) -> GenerationOptions {
        let sampling = self.text.sampling.clone();
        GenerationOptions { sampling, max_tokens: usize::MAX, stop: Vec::new(), stop_at: StopAt::StopId }
    }

    /// Continues a text with the checkpoint's own options.
    ///
    /// # Errors
    /// Those of [`Generator::add`].
    pub fn generate(&mut self, prompt: &str) -> Result<Stream<'_>> {
        self.stream(prompt, &self.generation_options())
    }

    /// Continues a text and streams it. Texts already added advance too; the next [`Generator::step`] returns their
    /// events.
    ///
    /// # Errors
    /// Those of [`Generator::add`].
    pub fn stream(&mut self, prompt: &str, options: &GenerationOptions) -> Result<Stream<'_>> {
        let id = self.add(prompt, options)?;
        Ok(Stream::new(self, id))
    }

    /// Queues a text, which [`Generator::step`] then continues.
    ///
    /// # Errors
    /// [`Error::Request`] for an empty prompt, a prompt longer than the context, an empty stop string, or invalid
    /// sampling.
    pub fn add(&mut self, prompt: &str, options: &GenerationOptions) -> Result<SequenceId> {
        let ids = self.text.tokenizer.encode(prompt)?;
        let text = OpenText::new(&self.text.tokenizer, options, Timing::new(ids.len(), Instant::now()))?;
        let id = self.engine.add(self.request(ids, options, AtEnd::Free))?;
        self.texts.insert(id, text);
        Ok(id)
    }

    /// Computes one step and returns its events. There are no events during prefill or while a character is incomplete.
    /// Events queued while a stream advanced are returned first, without a step.
    ///
    /// # Errors
    /// Those of [`Engine::step`]. The texts in the failed step are over: [`Engine::is_running`] says which continue.
    /// Also an error that ended other texts while a stream advanced.
    pub fn step(&mut self) -> Result<Vec<TextEvent>> {
        pollster::block_on(self.step_async())
    }

    /// [`Generator::step`] for callers that must not block: pending until the device has answered. Dropping the future
    /// before that ends the texts of the step; the next step returns an error for them.
    ///
    /// # Errors
    /// Those of [`Generator::step`].
    pub async fn step_async(&mut self) -> Result<Vec<TextEvent>> {
        if self.events.is_empty() {
            match self.errors.pop_front() {
                Some(error) => return Err(error),
                None => self.advance().await.map_err(|failure| failure.error)?,
            }
        }
        Ok(mem::take(&mut self.events))
    }

    /// Ends a text and frees its memory. It has no more events.
    pub fn cancel(&mut self, id: SequenceId) {
        self.forget(id);
        self.engine.cancel(id);
    }

    /// Whether no text is open and no event or error waits for [`Generator::step`].
    pub fn is_idle(&self) -> bool {
        self.texts.is_empty() && self.events.is_empty() && self.errors.is_empty()
    }

    /// The counts and times of an open text.
    pub(super) fn timing(&self, id: SequenceId) -> Option<Timing> {
        self.texts.get(&id).map(|text| text.timing)
    }

    /// A stream of a sequence that already runs in the engine.
    pub(super) fn follow(&mut self, id: SequenceId, text: OpenText) -> Stream<'_> {
        self.texts.insert(id, text);
        Stream::new(self, id)
    }

    /// Ends a text now. Its request says whether its sequence is kept or freed.
    pub(super) fn interrupt(&mut self, id: SequenceId) {
        self.forget(id);
        self.engine.interrupt(id);
    }

    fn forget(&mut self, id: SequenceId) {
        self.texts.remove(&id);
        self.events.retain(|event| event.id != id);
    }

    /// Removes the oldest event of one text from the queue.
    pub(super) fn take(&mut self, id: SequenceId) -> Option<TextEvent> {
        let at = self.events.iter().position(|event| event.id == id)?;
        Some(self.events.remove(at))
    }

    /// Computes one step for the stream of one text. Queues any error that ended other texts.
    pub(super) async fn advance_for(&mut self, id: SequenceId) -> Result<()> {
        let Err(Failure { error, mut ended }) = self.advance().await else { return Ok(()) };
        if !ended.remove(&id) {
            self.errors.push_back(error);
            return Ok(());
        }
        if !ended.is_empty() {
            self.errors.push_back(again(&error));
        }
        Err(error)
    }

    /// Computes one step and queues its events.
    async fn advance(&mut self) -> std::result::Result<(), Failure> {
        let abandoned = self.drop_failed();
        if !abandoned.is_empty() {
            return Err(Failure { error: failure::abandoned(), ended: abandoned });
        }
        let outcome = self.engine.step_async().await;
        let events = outcome.map_err(|error| Failure { error, ended: self.drop_failed() })?;
        events.iter().for_each(|event| self.accept(event));
        // A sequence with `max_tokens` 0 ends without an event.
        for id in self.stopped() {
            self.end(id, String::new(), Finish::Length);
        }
        Ok(())
    }

    fn accept(&mut self, event: &Event) {
        let id = event.sequence;
        let Some(text) = self.texts.get_mut(&id) else { return };
        let (piece, finish) = text.push(event);
        match finish {
            Some(finish) => self.end(id, piece, finish),
            None if piece.is_empty() => {}
            None => {
                let (timing, tokens) = (text.timing, mem::take(&mut text.tokens));
                self.events.push(TextEvent { id, text: piece, tokens, finish, reason: None, timing });
            }
        }
    }

    /// Queues the last event of a text and ends its sequence.
    fn end(&mut self, id: SequenceId, text: String, finish: Finish) {
        let Some(open) = self.texts.remove(&id) else { return };
        self.engine.interrupt(id);
        let (reason, timing) = (Some(open.reason(finish)), open.timing);
        self.events.push(TextEvent { id, text, tokens: open.tokens, finish: Some(finish), reason, timing });
    }

    /// The open texts whose sequence no longer runs.
    fn stopped(&self) -> BTreeSet<SequenceId> {
        self.texts.keys().copied().filter(|id| !self.engine.is_running(*id)).collect()
    }

    /// Removes the texts that a failed step ended.
    fn drop_failed(&mut self) -> BTreeSet<SequenceId> {
        let ended = self.stopped();
        self.texts.retain(|id, _| !ended.contains(id));
        ended
    }

    pub(super) fn request(&self, prompt: Vec<u32>, options: &GenerationOptions, at_end: AtEnd) -> Request {
        let stop = match options.stop_at {
            StopAt::StopId => self.text.stop.ids.clone(),
            StopAt::Length => BTreeSet::new(),
        };
        Request { prompt, sampling: options.sampling.clone(), max_tokens: options.max_tokens, stop, at_end }
    }
}

/// Compiles the kernels of a first answer while the weights load; not in a browser, which has one thread. The caller
/// may ignore an error: it appears again when the kernel is used.
fn compile(backend: &Arc<dyn Backend>, source: &Source<'_>, options: GeneratorOptions) -> Result<()> {
    if backend.caps().kind == DeviceKind::Cpu || cfg!(target_family = "wasm") {
        return Ok(());
    }
    let dry_run = DryEngine::new(backend.caps().clone(), source, options.precision, options.engine)?;
    backend.compile(&dry_run.answer()?)
}
