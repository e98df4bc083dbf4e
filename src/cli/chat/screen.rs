//! What a chat shows: the answer as it comes, thoughts dimmed, and a spinner until the first token.

use std::{
    io::{IsTerminal, stderr, stdout},
    time::Duration,
};

use bimetal::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::thinking::{Part, Thinking};
use crate::cli::{
    color::Paint,
    output::{complain, is_quiet, note, print},
    terminal::is_dumb,
    wrap::{Wrap, columns},
};

/// The pace of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// How a chat shows things.
#[derive(Clone, Copy)]
pub struct Screen {
    /// For answers.
    pub paint: Paint,
    /// For notes beside them.
    pub notes: Paint,
    /// Whether a user watches.
    pub is_live: bool,
    /// Whether thoughts are left out.
    pub hides_thinking: bool,
}

impl Screen {
    /// Tells something that is no answer.
    pub fn tell(&self, text: &str) {
        self.fitted(text).lines().for_each(|line| note(&self.notes.dim(line)));
    }

    /// Tells what went wrong.
    pub fn complain(&self, what: &str) {
        complain(&self.fitted(&format!("error: {what}")));
    }

    /// A text with line ends where the terminal has its own.
    fn fitted(&self, text: &str) -> String {
        let mut wrap = Wrap::new(if self.is_live { columns(stderr()) } else { 0 });
        wrap.push(text) + &wrap.finish()
    }

    /// Shows an answer that the model is about to give. `began` says whether the prompt has begun a thought.
    pub fn answer(&self, began: bool) -> Answer {
        let waits = self.is_live && stderr().is_terminal() && !is_dumb() && !is_quiet();
        let thinking = (self.hides_thinking || self.paint.is_on()).then(|| Thinking::new(began));
        let wrap = Wrap::new(if self.is_live { columns(stdout()) } else { 0 });
        let mut answer =
            Answer { screen: *self, thinking, wrap, spinner: None, waits, is_thought: false, is_begun: false };
        answer.wait("reading");
        answer
    }
}

/// An answer on the screen.
pub struct Answer {
    screen: Screen,
    /// `None` where the text is shown as it is.
    thinking: Option<Thinking>,
    wrap: Wrap,
    spinner: Option<ProgressBar>,
    waits: bool,
    /// Whether the last text shown was a thought.
    is_thought: bool,
    /// Whether anything of the answer itself was shown.
    is_begun: bool,
}

impl Answer {
    /// Shows a piece of the text.
    pub fn show(&mut self, piece: &str) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let Some(thinking) = &mut self.thinking else { return self.write(piece, false) };
        let parts = thinking.push(piece);
        let is_hidden = self.screen.hides_thinking && thinking.is_thought();
        if is_hidden {
            self.wait("thinking");
        }
        parts.into_iter().try_for_each(|part| self.part(part))
    }

    /// Shows the end of the text, and ends its line.
    pub fn finish(mut self) -> Result<()> {
        let rest = self.thinking.as_mut().and_then(Thinking::finish);
        rest.map_or(Ok(()), |part| self.part(part))?;
        self.write("\n", self.is_thought)
    }

    fn part(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Thought(_) if self.screen.hides_thinking => Ok(()),
            Part::Thought(text) => self.write(&text, true),
            Part::Answer(text) if self.screen.hides_thinking && !self.is_begun => {
                // The space between a thought and the answer goes with the thought.
                let begin = text.trim_start();
                self.is_begun = !begin.is_empty();
                self.write(begin, false)
            }
            Part::Answer(text) => self.write(&text, false),
        }
    }

    fn write(&mut self, text: &str, is_thought: bool) -> Result<()> {
        if self.is_thought != is_thought {
            let rest = self.wrap.finish();
            self.print(&rest)?;
            self.is_thought = is_thought;
        }
        let text = self.wrap.push_harmless(text);
        self.print(&text)
    }

    fn print(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        if self.is_thought { print(&self.screen.paint.dim(text)) } else { print(text) }
    }

    fn wait(&mut self, message: &'static str) {
        if !self.waits {
            return;
        }
        let template = if self.screen.notes.is_on() { "{spinner} {msg:.dim}" } else { "{spinner} {msg}" };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let spinner = self.spinner.get_or_insert_with(|| {
            let spinner = ProgressBar::new_spinner().with_style(style);
            spinner.enable_steady_tick(TICK);
            spinner
        });
        spinner.set_message(message);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}
