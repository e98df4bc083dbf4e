//! A conversation: messages written by the checkpoint's template, each turn reusing what is computed of the last.

use web_time::Instant;

use crate::{
    chat::{Message, Options, Template},
    engine::AtEnd,
    error::{Error, Result},
    generator::{Figures, Generator, Settings, Stream},
    scheduler::SequenceId,
    tokenizer::SpecialTokens,
};

/// Messages so far, and the sequence that holds what is computed of them.
#[derive(Default)]
pub struct Conversation {
    /// What was said, the system's message first.
    pub messages: Vec<Message>,
    /// What the template is told.
    pub options: Options,
    sequence: Option<SequenceId>,
    /// The ids at whose end the state is kept, for a past that turns out otherwise than it was computed.
    kept: Vec<u32>,
}

impl Conversation {
    /// A conversation that begins with a system message, if any.
    pub fn new(system: Option<String>, options: Options) -> Self {
        let messages = system.into_iter().map(|content| Message::new("system", content)).collect();
        Self { messages, options, sequence: None, kept: Vec::new() }
    }

    /// Asks for the answer to `content`. The answer becomes a message with [`Conversation::heard`].
    ///
    /// # Errors
    /// [`Error::Template`]; [`Error::Request`] where the conversation has outgrown the context.
    pub fn say<'a>(&mut self, generator: &'a mut Generator, content: &str, settings: &Settings) -> Result<Stream<'a>> {
        self.messages.push(Message::new("user", content));
        self.answer(generator, settings).inspect_err(|_| {
            self.messages.pop();
        })
    }

    /// Notes what was answered, whole or interrupted.
    pub fn heard(&mut self, content: &str) {
        self.messages.push(Message::new("assistant", content));
    }

    /// The sequence that holds what is computed of the conversation; none before the first answer.
    pub fn sequence(&self) -> Option<SequenceId> {
        self.sequence
    }

    /// Forgets everything but the system's message.
    pub fn clear(&mut self, generator: &mut Generator) {
        self.messages.retain(|message| message.role == "system");
        self.kept.clear();
        if let Some(id) = self.sequence.take() {
            generator.engine.cancel(id);
        }
    }

    fn answer<'a>(&mut self, generator: &'a mut Generator, settings: &Settings) -> Result<Stream<'a>> {
        let started = Instant::now();
        let template = generator.text.template()?;
        let whole = template.render(&self.messages, &self.options)?;
        let stable = self.stable(template, &whole)?;
        let ids = self.ids(generator, &whole)?;
        let prefix = stable.map(|stable| self.ids(generator, &stable)).transpose()?;
        let prefix = prefix.filter(|prefix| ids.starts_with(prefix) && prefix.len() < ids.len());
        let mut reused = None;
        if let Some(prefix) = prefix.clone() {
            let warm = Settings { most: 0, ..settings.clone() };
            reused = Some(self.submit(generator, prefix, &warm)?);
            self.settle(generator)?;
        }
        let (length, kept) = (ids.len(), prefix.clone().unwrap_or_else(|| ids.clone()));
        let again = self.submit(generator, ids, settings)?;
        self.kept = kept;
        let id = self.sequence.ok_or_else(|| Error::Request("the conversation has no sequence".into()))?;
        let figures = Figures { prompt: length, reused: reused.unwrap_or(again), ..Figures::at(started) };
        let stream = Stream::new(generator, id, settings, figures)?;
        Ok(if prefix.is_some() { stream } else { stream.keeping_prompt() })
    }

    /// The beginning of the prompt that later turns keep, where they do not keep all of it: templates drop the
    /// thinking of earlier answers.
    fn stable(&self, template: &Template, whole: &str) -> Result<Option<String>> {
        let mut later = self.messages.clone();
        later.extend([Message::new("assistant", "."), Message::new("user", ".")]);
        let later = template.render(&later, &self.options)?;
        if later.starts_with(whole) {
            return Ok(None);
        }
        let told = Options { generation_prompt: false, ..self.options.clone() };
        let stable = template.render(&self.messages, &told)?;
        Ok((whole.starts_with(&stable) && later.starts_with(&stable)).then_some(stable))
    }

    /// The ids of a prompt. Where it goes on from what the model has seen, or else from what the state is kept of, those
    /// ids stay, since text need not encode to the ids that it came from.
    fn ids(&self, generator: &Generator, whole: &str) -> Result<Vec<u32>> {
        let tokenizer = &generator.text.tokenizer;
        let seen = self.sequence.and_then(|id| generator.engine.tokens(id)).unwrap_or_default();
        for known in [seen, &self.kept] {
            if let Some(rest) = whole.strip_prefix(&tokenizer.decode(known, SpecialTokens::Show)) {
                return Ok([known, &tokenizer.encode(rest)?].concat());
            }
        }
        tokenizer.encode(whole)
    }

    /// Queues the ids behind what is computed of them, and returns how many that is.
    fn submit(&mut self, generator: &mut Generator, ids: Vec<u32>, settings: &Settings) -> Result<usize> {
        let request = generator.request(ids, settings, AtEnd::Keep);
        match self.sequence.filter(|id| generator.engine.is_kept(*id)) {
            Some(id) => generator.engine.resume(id, request),
            None => {
                self.sequence = Some(generator.engine.add(request)?);
                Ok(0)
            }
        }
    }

    /// Computes what was submitted and keeps a snapshot of the state there.
    fn settle(&mut self, generator: &mut Generator) -> Result<()> {
        let Some(id) = self.sequence else { return Ok(()) };
        while generator.engine.is_running(id) {
            generator.engine.step()?;
        }
        if generator.engine.is_kept(id) {
            generator.engine.snapshot(id)?;
        }
        Ok(())
    }
}
