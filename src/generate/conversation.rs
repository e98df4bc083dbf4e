//! A conversation: the checkpoint's chat template writes the messages, and each turn reuses the computed prefix.

use web_time::Instant;

use super::{GenerationOptions, Generator, Stream, Timing, open_text::OpenText, record::Record};
use crate::{
    Error,
    engine::{AtEnd, scheduler::SequenceId},
    error::Result,
    text::{
        chat_template::{Message, Options, Template},
        tokenizer::SpecialTokens,
    },
};

/// The messages so far, and the sequence that computed them. The default has no message yet, and asks the template for
/// the model's turn.
///
/// ```
/// # fn main() -> bimetal::Result<()> {
/// use bimetal::{Conversation, GenerationOptions, Generator};
///
/// let mut llm = Generator::built_in()?; // or Generator::open("Qwen/Qwen3.5-0.8B")?
/// let options = GenerationOptions { max_tokens: 8, ..llm.generation_options() };
/// let mut conversation = Conversation::default();
/// for said in ["Tell me a story about a cat.", "What did the cat do then?"] {
///     let answer = conversation.say(&mut llm, said, &options)?.collect::<bimetal::Result<String>>()?;
///     println!("{answer}");
/// }
/// assert_eq!(conversation.messages.len(), 4);
/// # Ok(())
/// # }
/// ```
pub struct Conversation {
    /// All messages; the system message is first. They may be changed between two answers: what is left of their
    /// beginning is not computed again.
    pub messages: Vec<Message>,
    /// Options of the chat template.
    pub options: Options,
    sequence: Option<SequenceId>,
    /// The prompt ids at whose end a state snapshot is kept. A later prompt may branch off there.
    kept: Vec<u32>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new(None, Options { generation_prompt: true, ..Options::default() })
    }
}

impl Conversation {
    /// Starts a conversation, with a system message if there is one.
    pub fn new(system: Option<String>, options: Options) -> Self {
        let messages = system.into_iter().map(|content| Message::new("system", content)).collect();
        Self { messages, options, sequence: None, kept: Vec::new() }
    }

    /// Asks for the answer to `content`. The question and what is read of the answer become messages, also of an answer
    /// that is dropped before its end. If a step of the answer fails, both are taken back.
    ///
    /// # Errors
    /// [`crate::Error::Template`]; [`crate::Error::Request`] if the conversation is longer than the context. The
    /// messages are then as before.
    pub fn say<'a>(
        &'a mut self,
        generator: &'a mut Generator,
        content: &str,
        options: &GenerationOptions,
    ) -> Result<Stream<'a>> {
        pollster::block_on(self.say_async(generator, content, options))
    }

    /// [`Conversation::say`] for callers that must not block. It is pending while the prefix of the conversation that
    /// later turns share is computed.
    ///
    /// # Errors
    /// Those of [`Conversation::say`].
    pub async fn say_async<'a>(
        &'a mut self,
        generator: &'a mut Generator,
        content: &str,
        options: &GenerationOptions,
    ) -> Result<Stream<'a>> {
        self.messages.push(Message::new("user", content));
        match self.answer(generator, options).await {
            Ok(stream) => Ok(stream.recorded(Record::begin(&mut self.messages))),
            Err(error) => {
                self.messages.pop();
                Err(error)
            }
        }
    }

    /// The text that the template makes of the conversation and a further question.
    ///
    /// # Errors
    /// [`crate::Error::Template`].
    pub fn prompt(&self, generator: &Generator, content: &str) -> Result<String> {
        let messages = [&self.messages[..], &[Message::new("user", content)]].concat();
        generator.text.template()?.render(&messages, &self.options)
    }

    /// Removes the oldest question and what follows it up to the next one. The system message stays. Returns whether
    /// there was one.
    pub fn drop_oldest(&mut self) -> bool {
        let is_question = |message: &Message| message.role == "user";
        let Some(start) = self.messages.iter().position(is_question) else { return false };
        let length = self.messages[start + 1..].iter().position(is_question);
        self.messages.drain(start..length.map_or(self.messages.len(), |length| start + 1 + length));
        true
    }

    /// The sequence that holds the computed conversation. `None` before the first answer.
    pub fn sequence(&self) -> Option<SequenceId> {
        self.sequence
    }

    /// Removes all messages except the system message.
    pub fn clear(&mut self, generator: &mut Generator) {
        self.messages.retain(|message| message.role == "system");
        self.kept.clear();
        if let Some(id) = self.sequence.take() {
            generator.cancel(id);
        }
    }

    async fn answer<'a>(&mut self, generator: &'a mut Generator, options: &GenerationOptions) -> Result<Stream<'a>> {
        let started = Instant::now();
        let template = generator.text.template()?;
        let whole = template.render(&self.messages, &self.options)?;
        self.check(&whole)?;
        let stable = self.stable(template, &whole)?;
        let ids = self.ids(generator, &whole)?;
        let prefix = stable.map(|stable| self.ids(generator, &stable)).transpose()?;
        let prefix = prefix.filter(|prefix| ids.starts_with(prefix) && prefix.len() < ids.len());
        let mut text = OpenText::new(&generator.text.tokenizer, options, Timing::new(ids.len(), started))?;
        let warmed = match &prefix {
            Some(prefix) => Some(self.warm(generator, prefix, options).await?),
            None => None,
        };
        let kept = prefix.unwrap_or_else(|| ids.clone());
        let (id, reused) = self.submit(generator, ids, options)?;
        self.kept = kept;
        text.timing.reused = warmed.unwrap_or(reused);
        let stream = generator.follow(id, text);
        Ok(if warmed.is_some() { stream } else { stream.keeping_prompt() })
    }

    /// Refuses an empty prompt. Warns of one without the question: the model cannot answer what it does not see.
    fn check(&self, prompt: &str) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::Template("it makes an empty prompt of the conversation: give the model another".into()));
        }
        let question = self.messages.last().map_or("", |message| message.content.trim());
        if !prompt.contains(question) {
            log::warn!("the chat template leaves the question out, or changes its text: the model may not see it");
        }
        Ok(())
    }

    /// The prefix of the prompt that all later prompts share, as a template may drop the thinking of earlier answers.
    /// `None` if they share the whole prompt, or if no such prefix is found.
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

    /// The ids of a prompt. Keeps the ids already computed or snapshotted for the shared prefix: re-encoding the text
    /// can give other ids.
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

    /// Queues the ids. Returns the sequence and the number of ids already computed.
    fn submit(
        &mut self,
        generator: &mut Generator,
        ids: Vec<u32>,
        options: &GenerationOptions,
    ) -> Result<(SequenceId, usize)> {
        let request = generator.request(ids, options, AtEnd::Keep);
        if let Some(id) = self.sequence.filter(|id| generator.engine.is_kept(*id)) {
            return Ok((id, generator.engine.resume(id, request)?));
        }
        let id = generator.engine.add(request)?;
        self.sequence = Some(id);
        Ok((id, 0))
    }

    /// Computes the prefix of a prompt and keeps a state snapshot at its end. Returns how many ids were computed
    /// before.
    async fn warm(&mut self, generator: &mut Generator, prefix: &[u32], options: &GenerationOptions) -> Result<usize> {
        let silent = GenerationOptions { max_tokens: 0, stop: Vec::new(), ..options.clone() };
        let text = OpenText::new(&generator.text.tokenizer, &silent, Timing::new(prefix.len(), Instant::now()))?;
        let (id, reused) = self.submit(generator, prefix.to_vec(), &silent)?;
        let mut stream = generator.follow(id, text);
        while let Some(piece) = stream.advance_async().await {
            piece?;
        }
        drop(stream);
        if generator.engine.is_kept(id) {
            generator.engine.snapshot(id)?;
        }
        Ok(reused)
    }
}
