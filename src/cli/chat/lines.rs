//! Input of a chat: edited on a terminal, read unchanged from a file or pipe.

use std::{
    fs,
    io::{BufRead, ErrorKind, stdin},
    path::PathBuf,
};

use bimetal::{Error, Result};
use rustyline::{
    Behavior, Cmd, ColorMode, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler,
    Helper, KeyEvent, Movement, RepeatCount,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::{commands::completions, multiline::is_open};
use crate::cli::{color::Paint, terminal};

/// How many messages the history remembers.
const REMEMBERED: usize = 1000;

/// One message of the user, as typed.
pub enum Input {
    /// A text, perhaps of several lines.
    Text(String),
    /// A line that is no text, and why.
    Refused(String),
}

/// The source of input.
pub enum Lines {
    /// A user at a terminal.
    Terminal(Box<Typed>),
    /// A file or another program: the number of lines so far.
    Plain(usize),
}

/// The editor of a terminal, and where it remembers messages.
pub struct Typed {
    editor: Editor<Assistance, FileHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    /// Edits lines on the terminal.
    pub fn terminal(paint: Paint, remembers: bool) -> Result<Self> {
        // Edit on the terminal itself, so that a piped standard output gets only the answers.
        let color = if paint.is_on() { ColorMode::Enabled } else { ColorMode::Disabled };
        let config = Config::builder().auto_add_history(true).behavior(Behavior::PreferTerm).color_mode(color);
        let config = config.max_history_size(REMEMBERED).map_err(broken)?.build();
        let mut editor = Editor::with_config(config).map_err(broken)?;
        editor.set_helper(Some(Assistance(paint)));
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(Interrupt)));
        let history = if remembers { history_file() } else { None };
        if let Some(file) = &history {
            // Absent before the first message.
            let _ = editor.load_history(file);
        }
        Ok(Self::Terminal(Box::new(Typed { editor, history })))
    }

    /// The next message; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Input>> {
        match self {
            Self::Terminal(typed) => typed.next(),
            Self::Plain(lines) => plain(lines),
        }
    }
}

impl Typed {
    fn next(&mut self) -> Result<Option<Input>> {
        match self.editor.readline("> ") {
            Ok(text) => {
                if let Some(Err(why)) = self.history.as_ref().map(|file| self.editor.append_history(file)) {
                    log::debug!("history: {why}");
                }
                Ok(Some(Input::Text(text)))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                terminal::discard_line();
                let what = "the line is not UTF-8 and was not read; set the terminal to UTF-8, then type it again";
                Ok(Some(Input::Refused(what.into())))
            }
            Err(error) => Err(broken(error)),
        }
    }
}

/// Reads a message from standard input.
fn plain(lines: &mut usize) -> Result<Option<Input>> {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        let read = stdin().lock().read_until(b'\n', &mut line).map_err(Error::io("standard input"))?;
        if read == 0 {
            return Ok((!text.is_empty()).then_some(Input::Text(text)));
        }
        *lines += 1;
        let Ok(line) = String::from_utf8(line) else {
            let what = format!("line {lines} of standard input is not UTF-8 and was not read; convert it first");
            return Ok(Some(Input::Refused(what)));
        };
        let line = if *lines == 1 { line.trim_start_matches('\u{feff}') } else { &line };
        text += line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        if !is_open(&text) {
            return Ok(Some(Input::Text(text)));
        }
        text.push('\n');
    }
}

/// Where a user's programs keep such files on this system. The directory is made.
fn history_file() -> Option<PathBuf> {
    let directory = dirs::state_dir().or_else(dirs::data_local_dir)?.join("bimetal");
    fs::create_dir_all(&directory).ok()?;
    Some(directory.join("chat-history"))
}

fn broken(error: ReadlineError) -> Error {
    Error::io("the terminal")(std::io::Error::other(error))
}

/// What helps a user type: names of commands, messages of several lines, a prompt that stands out.
struct Assistance(Paint);

impl Helper for Assistance {}

impl Hinter for Assistance {
    type Hint = String;
}

impl Completer for Assistance {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begin = &line[..position];
        let found = if begin.starts_with('/') { completions(begin) } else { Vec::new() };
        Ok((0, found.into_iter().map(String::from).collect()))
    }
}

impl Highlighter for Assistance {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> std::borrow::Cow<'b, str> {
        self.0.bold(prompt).into()
    }
}

impl Validator for Assistance {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let more = is_open(context.input());
        Ok(if more { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// Ctrl-C discards a started line, as in a shell; on an empty line it exits.
struct Interrupt;

impl ConditionalEventHandler for Interrupt {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        Some(if context.line().is_empty() { Cmd::Interrupt } else { Cmd::Kill(Movement::WholeBuffer) })
    }
}
