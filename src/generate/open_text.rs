//! One text during generation: takes tokens, returns whole characters.

use super::{EndReason, GenerationOptions, Timing};
use crate::{
    engine::{Event, Finish, scheduler::SequenceId},
    error::Result,
    text::{
        stop::{Stop, StopMatcher},
        tokenizer::{Decoder, SpecialTokens, Tokenizer},
    },
};

/// The text that one step added to one sequence.
#[derive(Clone, PartialEq, Debug)]
pub struct TextEvent {
    /// The text's sequence, as [`super::Generator::add`] returned it.
    pub id: SequenceId,
    /// The text since the last event: whole characters, without stop strings. Only the last event may be empty.
    pub text: String,
    /// The tokens since the last event. A stop id is the last of them.
    pub tokens: Vec<u32>,
    /// The reason why the text ended; `Some` only in its last event.
    pub finish: Option<Finish>,
    /// The same reason in more detail.
    pub reason: Option<EndReason>,
    /// Counts and times of the text so far.
    pub timing: Timing,
}

/// A text that is still generated.
pub(super) struct OpenText {
    decoder: Decoder,
    matcher: StopMatcher,
    max_tokens: usize,
    /// Tokens that no event has returned yet.
    pub(super) tokens: Vec<u32>,
    pub(super) timing: Timing,
}

impl OpenText {
    /// # Errors
    /// [`crate::Error::Request`] for an empty stop string.
    pub(super) fn new(tokenizer: &Tokenizer, options: &GenerationOptions, timing: Timing) -> Result<Self> {
        let mut stop = Stop::default();
        stop.add_strings(options.stop.iter().cloned())?;
        let (decoder, matcher) = (tokenizer.decoder(SpecialTokens::Skip), stop.matcher());
        Ok(Self { decoder, matcher, max_tokens: options.max_tokens, tokens: Vec::new(), timing })
    }

    /// Takes one token. Returns the text that no stop string can remove any more, and the finish reason if the text
    /// ended.
    pub(super) fn push(&mut self, event: &Event) -> (String, Option<Finish>) {
        self.timing.count_token();
        self.tokens.push(event.token);
        let mut text = String::new();
        // A stop id is not part of the text.
        if event.finish != Some(Finish::Stop) {
            text.push_str(self.matcher.push(self.decoder.push(event.token)));
        }
        if event.finish.is_some() {
            text.push_str(self.matcher.push(self.decoder.finish()));
            text.push_str(self.matcher.finish());
        }
        let finish = if self.matcher.stopped() { Some(Finish::Stop) } else { event.finish };
        (text, finish)
    }

    /// The reason in detail why the text ended as the engine says.
    pub(super) fn reason(&self, finish: Finish) -> EndReason {
        match (finish, self.matcher.found(), self.tokens.last()) {
            (Finish::Stop, Some(string), _) => EndReason::StopString(string.into()),
            (Finish::Stop, None, Some(&id)) => EndReason::StopId(id),
            _ if self.timing.generated >= self.max_tokens => EndReason::MaxTokens,
            _ => EndReason::ContextFull,
        }
    }
}
