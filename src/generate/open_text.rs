//! One text while it is generated: tokens in, whole characters out.

use super::Timing;
use crate::{
    engine::{Event, Finish, scheduler::SequenceId},
    error::Result,
    text::{
        stop::{Stop, StopMatcher},
        tokenizer::{Decoder, SpecialTokens, Tokenizer},
    },
};

/// What one step added to a text.
#[derive(Clone, PartialEq, Debug)]
pub struct TextEvent {
    /// The text's sequence, as [`super::Generator::add`] returned it.
    pub id: SequenceId,
    /// The text since the last event: whole characters, and nothing of a stop string. Empty only in a last event.
    pub text: String,
    /// Why the text ended, in its last event.
    pub finish: Option<Finish>,
    /// What the text took so far.
    pub timing: Timing,
}

/// A text that is not over.
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

    /// Takes one token. Returns the text that is certain now, and why the text ended, if it did.
    pub(super) fn push(&mut self, event: &Event) -> (String, Option<Finish>) {
        self.timing.count_token();
        let mut text = String::new();
        // A stop id is no part of the text.
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
