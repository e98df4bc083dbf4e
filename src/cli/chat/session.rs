//! A conversation with its model: answers, and what the commands do to it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bimetal::{Conversation, Error, GenerationOptions, Generator, Message, Result, low_level::generate::EndReason};
use clap::ValueEnum;

use super::screen::Screen;
use crate::cli::{
    figures::counted,
    output::note,
    speeds::{Speeds, ended},
    terminal::HiddenTyping,
};

/// What happens when the context is full.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// The oldest questions are dropped with their answers
    Drop,
    /// Messages are refused
    Stop,
}

/// A conversation with its model.
pub struct Session {
    pub generator: Generator,
    pub conversation: Conversation,
    pub options: GenerationOptions,
    pub model: String,
    pub when_full: WhenFull,
    /// Whether figures follow each answer.
    pub shows_figures: bool,
    /// Raised by Ctrl-C.
    pub interrupted: Arc<AtomicBool>,
    pub screen: Screen,
    /// Speeds of the last answer, and why it ended.
    pub last: Option<(Speeds, String)>,
    /// Speeds of all answers.
    pub total: Speeds,
}

impl Session {
    /// Streams one answer. A failed request leaves the conversation unchanged.
    pub fn answer(&mut self, said: &str) -> Result<()> {
        self.interrupted.store(false, Ordering::Relaxed);
        let prompt = self.make_room(said)?;
        let _hidden = if self.screen.is_live { HiddenTyping::begin() } else { None };
        let mut shown = self.screen.answer(prompt.trim_end().ends_with("<think>"));
        let mut stream = self.conversation.say(&mut self.generator, said, &self.options)?;
        while let Some(piece) = stream.advance() {
            shown.show(&piece?)?;
            if self.interrupted.load(Ordering::Relaxed) {
                stream.interrupt();
            }
        }
        let (timing, reason) = (stream.timing(), stream.reason().cloned());
        drop(stream);
        shown.finish()?;
        let figures = Speeds::of(&timing);
        self.total.add(figures);
        self.last = Some((figures, ended(&self.generator, reason.as_ref(), self.options.max_tokens)));
        if reason == Some(EndReason::ContextFull) {
            self.screen.tell(&self.cut_off());
        }
        if self.shows_figures {
            self.tell_figures();
        }
        Ok(())
    }

    /// Tells the figures of the last answer.
    pub fn tell_figures(&self) {
        if let Some((figures, ended)) = &self.last {
            note(&self.screen.notes.dim(&format!("{}; {ended}", figures.line())));
        }
    }

    /// Maximum number of tokens of the conversation.
    pub fn context(&self) -> u32 {
        self.generator.engine().plan().context
    }

    /// The prompt of a question, and its number of tokens.
    fn prompt(&self, said: &str) -> Result<(String, usize)> {
        let prompt = self.conversation.prompt(&self.generator, said)?;
        let tokens = self.generator.text.tokenizer.encode(&prompt)?.len();
        Ok((prompt, tokens))
    }

    /// Drops the oldest turns until a question and its answer fit, and tells it. Returns the prompt.
    ///
    /// # Errors
    /// [`Error::Template`]; [`Error::Request`] where nothing may be dropped.
    fn make_room(&mut self, said: &str) -> Result<String> {
        let context = self.context() as usize;
        let (mut prompt, mut tokens) = self.prompt(said)?;
        if self.when_full == WhenFull::Stop {
            return if tokens < context { Ok(prompt) } else { Err(self.full()) };
        }
        let kept = self.conversation.messages.clone();
        let room = self.options.max_tokens.min(context / 4);
        let mut dropped = 0;
        while tokens + room > context && self.conversation.drop_oldest() {
            dropped += 1;
            (prompt, tokens) = self.prompt(said)?;
        }
        if tokens >= context {
            self.conversation.messages = kept;
            return Err(Error::Request(format!(
                "the prompt has {tokens} tokens, and the context of {context} leaves no room for an answer; shorten it \
                 or raise --context"
            )));
        }
        if dropped > 0 {
            let what = match dropped {
                1 => "question and its answer".into(),
                more => format!("{more} questions and their answers"),
            };
            let context = counted(context, "token");
            self.screen.tell(&format!("the context of {context} is full: the oldest {what} are dropped"));
        }
        Ok(prompt)
    }

    fn full(&self) -> Error {
        let context = counted(self.context() as usize, "token");
        let what = "/clear begins anew, /undo takes the last question back, --context-full drop forgets the oldest";
        Error::Request(format!("the context of {context} is full, and nothing more can be asked; {what}"))
    }

    fn cut_off(&self) -> String {
        let context = counted(self.context() as usize, "token");
        let next = match self.when_full {
            WhenFull::Drop => "the next question drops the oldest ones",
            WhenFull::Stop => "/clear begins anew, and --context makes more room",
        };
        format!("the context of {context} is full, which ended the answer; {next}")
    }

    /// Begins anew. The system message stays.
    pub fn clear(&mut self) {
        self.conversation.clear(&mut self.generator);
    }

    /// Sets the system message, or removes it.
    pub fn set_system(&mut self, text: &str) {
        let messages = &mut self.conversation.messages;
        messages.retain(|message| message.role != "system");
        if !text.is_empty() && text != "\"\"" {
            messages.insert(0, Message::new("system", text));
        }
    }

    /// The system message.
    pub fn system(&self) -> Option<&str> {
        let messages = &self.conversation.messages;
        messages.iter().find(|message| message.role == "system").map(|message| message.content.as_str())
    }

    /// Takes the last question and its answer back. Returns the question.
    pub fn undo(&mut self) -> Option<String> {
        let messages = &mut self.conversation.messages;
        let at = messages.iter().rposition(|message| message.role == "user")?;
        let question = messages[at].content.clone();
        messages.truncate(at);
        Some(question)
    }

    /// Asks the last question again, with another seed. A failed request leaves the conversation unchanged.
    pub fn retry(&mut self) -> Result<()> {
        let kept = self.conversation.messages.clone();
        let Some(question) = self.undo() else { return Err(nothing_asked()) };
        self.options.sampling.seed = self.options.sampling.seed.map(|seed| seed.wrapping_add(1));
        self.answer(&question).inspect_err(|_| self.conversation.messages = kept)
    }
}

/// The error of a command about the last question where there is none.
pub fn nothing_asked() -> Error {
    Error::Request("nothing was asked yet".into())
}
