//! Input lines of a chat: edited on a terminal, read unchanged from a file or pipe.

use std::io::{BufRead, IsTerminal, stdin};

use bimetal::{Error, Result};
use rustyline::{
    Behavior, Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext, EventHandler, KeyEvent,
    Movement, RepeatCount, error::ReadlineError,
};

/// The source of input lines.
pub enum Lines {
    /// A user at a terminal.
    Terminal(Box<DefaultEditor>),
    /// A file or another program.
    Plain,
}

impl Lines {
    /// Reads standard input.
    pub fn open() -> Result<Self> {
        if !stdin().is_terminal() {
            return Ok(Self::Plain);
        }
        // Edit on the terminal itself, so that a piped standard output gets only the answers.
        let config = Config::builder().auto_add_history(true).behavior(Behavior::PreferTerm).build();
        let mut editor = DefaultEditor::with_config(config).map_err(broken)?;
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(Interrupt)));
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// Whether a user can see an error and try again.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Terminal(editor) => match editor.readline("> ") {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
                Err(error) => Err(broken(error)),
            },
            Self::Plain => {
                let mut line = String::new();
                let read = stdin().lock().read_line(&mut line).map_err(Error::io("standard input"))?;
                Ok((read > 0).then_some(line))
            }
        }
    }
}

fn broken(error: ReadlineError) -> Error {
    Error::io("the terminal")(std::io::Error::other(error))
}

/// Ctrl-C discards a started line, as in a shell; on an empty line it exits.
struct Interrupt;

impl ConditionalEventHandler for Interrupt {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        Some(if context.line().is_empty() { Cmd::Interrupt } else { Cmd::Kill(Movement::WholeBuffer) })
    }
}
