//! The pieces of one text.

use std::{mem, time::Duration};

use web_time::Instant;

use super::{EndReason, Generator, record::Record};
use crate::{
    engine::{Finish, scheduler::SequenceId},
    error::Result,
};

/// Counts and times of one text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Number of prompt tokens.
    pub prompt: usize,
    /// Number of prompt tokens that were computed before.
    pub reused: usize,
    /// Number of tokens generated so far.
    pub generated: usize,
    /// When the text was requested.
    pub started: Instant,
    /// Time from the start to the first token.
    pub first: Duration,
    /// Time from the first token to the last.
    pub rest: Duration,
}

impl Timing {
    pub(super) fn new(prompt: usize, started: Instant) -> Self {
        Self { prompt, reused: 0, generated: 0, started, first: Duration::ZERO, rest: Duration::ZERO }
    }

    /// Counts one token.
    pub(super) fn count_token(&mut self) {
        let elapsed = self.started.elapsed();
        if self.generated == 0 {
            self.first = elapsed;
        }
        self.generated += 1;
        self.rest = elapsed - self.first;
    }

    /// Prefill speed in tokens per second: prompt tokens that were not reused, over the time to the first token.
    pub fn prefill(&self) -> f64 {
        rate(self.prompt - self.reused, self.first)
    }

    /// Decode speed in tokens per second: the tokens after the first, over their time.
    pub fn decode(&self) -> f64 {
        rate(self.generated.saturating_sub(1), self.rest)
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// A text during generation: an iterator of pieces of whole characters. Dropping it ends this text only.
pub struct Stream<'a> {
    generator: &'a mut Generator,
    id: SequenceId,
    timing: Timing,
    tokens: Vec<u32>,
    finish: Option<Finish>,
    reason: Option<EndReason>,
    /// The conversation that the text is an answer in.
    record: Option<Record<'a>>,
    /// Whether the stream has ended.
    over: bool,
    /// Whether the end of the prompt still needs a state snapshot.
    keeps_prompt: bool,
}

impl<'a> Stream<'a> {
    /// A stream of an open text of the generator.
    pub(super) fn new(generator: &'a mut Generator, id: SequenceId) -> Self {
        let timing = generator.timing(id).unwrap_or_else(|| Timing::new(0, Instant::now()));
        Self {
            generator,
            id,
            timing,
            tokens: Vec::new(),
            finish: None,
            reason: None,
            record: None,
            over: false,
            keeps_prompt: false,
        }
    }

    /// Writes the text into a conversation, too.
    pub(super) fn recorded(mut self, record: Record<'a>) -> Self {
        self.record = Some(record);
        self
    }

    /// Keeps a state snapshot at the end of the prompt, instead of earlier ones, so that a later turn can drop the
    /// answer.
    pub(super) fn keeping_prompt(mut self) -> Self {
        self.keeps_prompt = true;
        self
    }

    /// Counts and times of the text so far.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// The reason why the text ended; `None` while it continues, or if it was interrupted.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// The reason in detail why the text ended; `None` while it continues, or if it was interrupted.
    pub fn reason(&self) -> Option<&EndReason> {
        self.reason.as_ref()
    }

    /// The tokens of the text so far. A stop id is the last of them. Tokens of a character that is not complete yet
    /// come with its text.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Computes one step and returns its text. The text is empty during prefill and while a character is incomplete.
    /// Returns `None` after the end. For callers that act between steps; others iterate.
    pub fn advance(&mut self) -> Option<Result<String>> {
        pollster::block_on(self.advance_async())
    }

    /// [`Stream::advance`] for callers that must not block: pending until the device has answered.
    pub async fn advance_async(&mut self) -> Option<Result<String>> {
        if self.over {
            return None;
        }
        let text = self.step().await;
        self.over |= text.is_err();
        match (&text, &mut self.record) {
            (Ok(text), Some(record)) => record.add(text),
            (Err(_), Some(record)) => record.take_back(),
            (_, None) => {}
        }
        Some(text)
    }

    async fn step(&mut self) -> Result<String> {
        self.generator.advance_for(self.id).await?;
        let mut text = String::new();
        if let Some(event) = self.generator.take(self.id) {
            text = event.text;
            self.tokens.extend(event.tokens);
            (self.timing, self.finish, self.over) = (event.timing, event.finish, event.finish.is_some());
            self.reason = event.reason;
        } else if let Some(timing) = self.generator.timing(self.id) {
            self.timing = timing;
        }
        if self.timing.generated > 0 && mem::take(&mut self.keeps_prompt) {
            self.generator.engine.snapshot(self.id)?;
        }
        Ok(text)
    }

    /// Ends the text now. A kept sequence stays in memory.
    pub fn interrupt(&mut self) {
        self.over = true;
        self.generator.interrupt(self.id);
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
