//! Text in, text out: an engine with a checkpoint's tokenizer, streaming pieces as they come.

use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};

use web_time::Instant;

use crate::{
    backend::{Backend, Caps, DeviceKind},
    dtype::DType,
    engine::{AtEnd, Engine, Finish, Options, Request},
    error::Result,
    ledger::Rehearsal,
    model::{
        Form, Model,
        checkpoint::Checkpoint,
        weights::{Progress, Source},
    },
    sampler::Sampling,
    scheduler::SequenceId,
    stop::StopMatcher,
    text::Text,
    threads,
    tokenizer::{Decoder, SpecialTokens},
};

/// An engine that speaks.
pub struct Generator {
    /// The engine, for whoever wants token ids.
    pub engine: Engine,
    /// The checkpoint's way with text.
    pub text: Text,
}

/// How a generator is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// What matrix products take as input: f32 for full precision, f16 where a matrix unit wants it.
    pub inputs: DType,
    /// What large matrices are quantised to while they are loaded; none for weights as the checkpoint has them.
    pub quant: Option<DType>,
    /// The engine's own options.
    pub engine: Options,
}

impl Setup {
    /// The types that the model computes in.
    pub fn form(&self) -> Form {
        Form { inputs: self.inputs, quant: self.quant }
    }

    /// What products should take on a device: f16 where that lets them use matrix units.
    pub fn inputs(caps: &Caps) -> DType {
        if caps.matrix_units.is_some() { DType::F16 } else { DType::F32 }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self { inputs: DType::F32, quant: None, engine: Options::default() }
    }
}

/// What is wanted of one text.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to add.
    pub most: usize,
    /// Strings that end the text, besides the checkpoint's own ids.
    pub stop: Vec<String>,
    /// Whether ids that end a text end this one too.
    pub ends: Ends,
}

/// Whether a text may end by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ends {
    /// With one of the checkpoint's stop ids.
    #[default]
    AtStop,
    /// Only with its number of tokens.
    AtLength,
}

impl Generator {
    /// Puts a checkpoint on a backend.
    ///
    /// # Errors
    /// Everything that can be wrong with a checkpoint, and [`crate::Error::OutOfMemory`].
    pub fn open(
        backend: &Arc<dyn Backend>,
        checkpoint: &Checkpoint,
        setup: Setup,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let source = Source::Checkpoint(checkpoint);
        let (text, model) = thread::scope(|scope| {
            let compiling = threads::begin(scope, || {
                if let Err(why) = compile(backend, &source, setup) {
                    log::debug!("not compiled ahead: {why}");
                }
            });
            let text = threads::begin(scope, || Text::of(checkpoint));
            let started = Instant::now();
            let model = Model::load(backend, &source, setup.form(), progress);
            log::debug!("weights in {:.1?}", started.elapsed());
            compiling.join();
            (text.join(), model)
        });
        let (text, mut model) = (text?, model?);
        model.vocabulary = model.vocabulary.min(text.tokenizer.vocabulary() as u32);
        let engine = Engine::new(Arc::new(model), setup.engine)?;
        Ok(Self { engine, text })
    }

    /// The checkpoint's own settings.
    pub fn settings(&self) -> Settings {
        Settings { sampling: self.text.sampling.clone(), most: usize::MAX, stop: Vec::new(), ends: Ends::AtStop }
    }

    /// Continues a text.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for an empty prompt, one longer than the context, or unusable settings.
    pub fn stream(&mut self, prompt: &str, settings: &Settings) -> Result<Stream<'_>> {
        let ids = self.text.tokenizer.encode(prompt)?;
        let request = self.request(ids, settings, AtEnd::Free);
        let (tokens, started) = (request.prompt.len(), Instant::now());
        let id = self.engine.add(request)?;
        Stream::new(self, id, settings, Figures { prompt: tokens, ..Figures::at(started) })
    }

    pub(crate) fn request(&self, prompt: Vec<u32>, settings: &Settings, at_end: AtEnd) -> Request {
        let stop = match settings.ends {
            Ends::AtStop => self.text.stop.ids.clone(),
            Ends::AtLength => BTreeSet::new(),
        };
        Request { prompt, sampling: settings.sampling.clone(), max_tokens: settings.most, stop, at_end }
    }
}

/// Compiles what a first answer takes, while the weights are on their way; not in a browser, which would stand still
/// meanwhile. What goes wrong here goes wrong again, and is told, where it is needed.
fn compile(backend: &Arc<dyn Backend>, source: &Source<'_>, setup: Setup) -> Result<()> {
    if backend.caps().kind == DeviceKind::Cpu || cfg!(target_family = "wasm") {
        return Ok(());
    }
    backend.compile(&Rehearsal::new(backend.caps().clone(), source, setup)?.answer()?)
}

/// What a stream took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of which were computed before.
    pub reused: usize,
    /// Tokens generated.
    pub generated: usize,
    /// When the request was made.
    pub started: Instant,
    /// Until the first token.
    pub first: Duration,
    /// From the first token to the last.
    pub rest: Duration,
}

impl Figures {
    pub(crate) fn at(started: Instant) -> Self {
        let none = Duration::ZERO;
        Self { prompt: 0, reused: 0, generated: 0, started, first: none, rest: none }
    }

    /// Prompt tokens computed per second.
    pub fn prefill(&self) -> f64 {
        rate(self.prompt - self.reused, self.first)
    }

    /// Tokens per second after the first.
    pub fn decode(&self) -> f64 {
        rate(self.generated.saturating_sub(1), self.rest)
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// A text being generated: an iterator of its pieces, each whole characters.
pub struct Stream<'a> {
    generator: &'a mut Generator,
    id: SequenceId,
    decoder: Decoder,
    matcher: StopMatcher,
    figures: Figures,
    finish: Option<Finish>,
    /// Whether the last piece is out.
    over: bool,
    /// Whether a snapshot of the state is still to be taken where the prompt ends.
    keeps_prompt: bool,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(
        generator: &'a mut Generator,
        id: SequenceId,
        settings: &Settings,
        figures: Figures,
    ) -> Result<Self> {
        let mut stop = crate::stop::Stop::default();
        stop.add_strings(settings.stop.iter().cloned())?;
        let decoder = generator.text.tokenizer.decoder(SpecialTokens::Skip);
        Ok(Self {
            generator,
            id,
            decoder,
            matcher: stop.matcher(),
            figures,
            finish: None,
            over: false,
            keeps_prompt: false,
        })
    }

    /// Keeps a snapshot of the state where the prompt ends, in place of earlier ones: what is generated may be taken back.
    pub(crate) fn keeping_prompt(mut self) -> Self {
        self.keeps_prompt = true;
        self
    }

    /// What it took so far.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Why it ended; `None` while it goes on, and where it was stopped.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Computes one step and returns its text, which is empty while a prompt is computed and while characters are
    /// incomplete; none at the end. For whoever wants a say between any two steps; others iterate.
    pub fn advance(&mut self) -> Option<Result<String>> {
        let text = (!self.over).then(|| self.step())?;
        self.over |= text.is_err();
        Some(text)
    }

    fn step(&mut self) -> Result<String> {
        let mut text = String::new();
        for event in self.generator.engine.step()? {
            if event.sequence != self.id {
                continue;
            }
            let elapsed = self.figures.started.elapsed();
            if self.figures.generated == 0 {
                self.figures.first = elapsed;
            }
            if std::mem::take(&mut self.keeps_prompt) {
                self.generator.engine.snapshot(self.id)?;
            }
            self.figures.generated += 1;
            self.figures.rest = elapsed - self.figures.first;
            self.finish = event.finish;
            if event.finish != Some(Finish::Stop) {
                text.push_str(self.matcher.push(self.decoder.push(event.token)));
            }
        }
        if self.finish.is_some() {
            let rest = self.decoder.finish();
            text.push_str(self.matcher.push(rest));
            text.push_str(self.matcher.finish());
            self.over = true;
        } else if self.matcher.stopped() {
            self.finish = Some(Finish::Stop);
            self.interrupt();
        } else {
            // With no token asked for, it ends without one.
            self.over |= !self.generator.engine.is_running(self.id);
        }
        Ok(text)
    }

    /// Ends it here. What is computed of a kept sequence stays.
    pub fn interrupt(&mut self) {
        self.over = true;
        self.generator.engine.interrupt(self.id);
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance()? {
                Ok(text) if text.is_empty() => {}
                outcome => return Some(outcome),
            }
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.finish.is_none() {
            self.interrupt();
        }
    }
}
