//! One text during generation: takes tokens, returns whole characters.

use super::Timing;
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
    /// The reason why the text ended; `Some` only in its last event.
    pub finish: Option<Finish>,
    /// Counts and times of the text so far.
    pub timing: Timing,
}

/// A text that is still generated.
pub(super) struct OpenText {
    decoder: Decoder,
    matcher: StopMatcher,
    pub(super) timing: Timing,
}

impl OpenText {
    /// # Errors
    /// [`crate::Error::Request`] for an empty stop string.
    pub(super) fn new(tokenizer: &Tokenizer, strings: &[String], timing: Timing) -> Result<Self> {
        let mut stop = Stop::default();
        stop.add_strings(strings.iter().cloned())?;
        Ok(Self { decoder: tokenizer.decoder(SpecialTokens::Skip), matcher: stop.matcher(), timing })
    }

    /// Takes one token. Returns the text that no stop string can remove any more, and the finish reason if the text
    /// ended.
    pub(super) fn push(&mut self, event: &Event) -> (String, Option<Finish>) {
        self.timing.count_token();
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
}
