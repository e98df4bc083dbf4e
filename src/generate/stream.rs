//! One text, piece by piece.

use std::{mem, time::Duration};

use web_time::Instant;

use super::Generator;
use crate::{
    engine::{Finish, scheduler::SequenceId},
    error::Result,
};

/// What one text took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens of the prompt that were computed before.
    pub reused: usize,
    /// Tokens generated so far.
    pub generated: usize,
    /// When the text was asked for.
    pub started: Instant,
    /// From the start to the first token.
    pub first: Duration,
    /// From the first token to the last.
    pub rest: Duration,
}

impl Timing {
    pub(super) fn new(prompt: usize, started: Instant) -> Self {
        Self { prompt, reused: 0, generated: 0, started, first: Duration::ZERO, rest: Duration::ZERO }
    }

    /// Notes that a token has come.
    pub(super) fn count_token(&mut self) {
        let elapsed = self.started.elapsed();
        if self.generated == 0 {
            self.first = elapsed;
        }
        self.generated += 1;
        self.rest = elapsed - self.first;
    }

    /// Speed of the prompt in tokens per second: the tokens that were not reused, until the first token came.
    pub fn prefill(&self) -> f64 {
        rate(self.prompt - self.reused, self.first)
    }

    /// Speed of the answer in tokens per second: the tokens after the first.
    pub fn decode(&self) -> f64 {
        rate(self.generated.saturating_sub(1), self.rest)
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// A text being generated: an iterator of its pieces, each whole characters. Dropping it ends its text and no other.
pub struct Stream<'a> {
    generator: &'a mut Generator,
    id: SequenceId,
    timing: Timing,
    finish: Option<Finish>,
    /// Whether the last piece is out.
    over: bool,
    /// Whether a snapshot of the state is still to be taken where the prompt ends.
    keeps_prompt: bool,
}

impl<'a> Stream<'a> {
    /// A stream of one of the generator's open texts.
    pub(super) fn new(generator: &'a mut Generator, id: SequenceId) -> Self {
        let timing = generator.timing(id).unwrap_or_else(|| Timing::new(0, Instant::now()));
        Self { generator, id, timing, finish: None, over: false, keeps_prompt: false }
    }

    /// Keeps a snapshot of the state where the prompt ends, in place of earlier ones: what is generated may be taken back.
    pub(super) fn keeping_prompt(mut self) -> Self {
        self.keeps_prompt = true;
        self
    }

    /// What the text took so far.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Why the text ended; `None` while it goes on, and where it was interrupted.
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
        self.generator.advance_for(self.id)?;
        let mut text = String::new();
        if let Some(event) = self.generator.take(self.id) {
            text = event.text;
            (self.timing, self.finish, self.over) = (event.timing, event.finish, event.finish.is_some());
        } else if let Some(timing) = self.generator.timing(self.id) {
            self.timing = timing;
        }
        if self.timing.generated > 0 && mem::take(&mut self.keeps_prompt) {
            self.generator.engine.snapshot(self.id)?;
        }
        Ok(text)
    }

    /// Ends the text here. What is computed of a kept sequence stays.
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
