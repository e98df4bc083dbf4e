//! Input of a chat: edited on a terminal, read unchanged from a file or pipe.

use std::{
    fs,
    io::{BufRead, ErrorKind, Write, stderr, stdin},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

use super::{commands::completions, multiline::is_open, transcript::check_type};
use crate::cli::{
    color::Paint,
    output::complain,
    terminal::{self, is_dumb},
};

/// How many messages the history remembers.
const REMEMBERED: usize = 1000;

/// What is told of a message that was begun and not finished.
const DROPPED: &str = "the message was not finished and is dropped; Ctrl-D on an empty message leaves";

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
    /// A file, another program, or a terminal without an editor.
    Plain {
        /// The number of lines so far.
        lines: usize,
        /// Whether a user is asked for each line.
        prompts: bool,
    },
}

/// The editor of a terminal, and where it remembers messages.
pub struct Typed {
    editor: Editor<Assistance, FileHistory>,
    history: Option<PathBuf>,
    /// Raised by Ctrl-D within a message of several lines.
    is_dropped: Arc<AtomicBool>,
}

impl Lines {
    /// Edits lines on the terminal.
    pub fn terminal(paint: Paint, remembers: bool) -> Result<Self> {
        if is_dumb() {
            return Ok(Self::Plain { lines: 0, prompts: true });
        }
        // Edit on the terminal itself, so that a piped standard output gets only the answers.
        let color = if paint.is_on() { ColorMode::Enabled } else { ColorMode::Disabled };
        let config = Config::builder().auto_add_history(true).behavior(Behavior::PreferTerm).color_mode(color);
        let config = config.max_history_size(REMEMBERED).map_err(broken)?.build();
        let mut editor = Editor::with_config(config).map_err(broken)?;
        editor.set_helper(Some(Assistance(paint)));
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(Interrupt)));
        let is_dropped = Arc::new(AtomicBool::new(false));
        let end = EventHandler::Conditional(Box::new(EndOfInput(is_dropped.clone())));
        editor.bind_sequence(KeyEvent::ctrl('D'), end);
        let history = if remembers { history_file() } else { None };
        let history = history.filter(|file| match read_history(&mut editor, file) {
            Ok(()) => true,
            Err(why) => {
                complain(&format!("warning: {why}; no messages are remembered (--no-history leaves this out)"));
                false
            }
        });
        Ok(Self::Terminal(Box::new(Typed { editor, history, is_dropped })))
    }

    /// The next message; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Input>> {
        match self {
            Self::Terminal(typed) => typed.next(),
            Self::Plain { lines, prompts } => plain(lines, *prompts),
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
            Err(ReadlineError::Interrupted) if self.is_dropped.swap(false, Ordering::Relaxed) => {
                Ok(Some(Input::Refused(DROPPED.into())))
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
fn plain(lines: &mut usize, prompts: bool) -> Result<Option<Input>> {
    let mut text = String::new();
    if prompts {
        let _ = write!(stderr(), "> ");
    }
    loop {
        let mut line = Vec::new();
        let read = stdin().lock().read_until(b'\n', &mut line).map_err(Error::io("standard input"))?;
        if read == 0 && prompts {
            // The terminal is still after the prompt.
            let _ = writeln!(stderr());
            return Ok((!text.is_empty()).then(|| Input::Refused(DROPPED.into())));
        }
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

/// Where a user's programs keep such files on this system.
fn history_file() -> Option<PathBuf> {
    Some(dirs::state_dir().or_else(dirs::data_local_dir)?.join("bimetal").join("chat-history"))
}

/// Reads the history, which is absent before the first message. Makes its directory.
fn read_history(editor: &mut Editor<Assistance, FileHistory>, file: &Path) -> Result<()> {
    check_type(file)?;
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(Error::io(directory))?;
    }
    match editor.load_history(file) {
        Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let _ = editor.clear_history();
            Err(Error::Format { file: file.into(), what: format!("no history of messages: {error}; remove it") })
        }
        Ok(()) => Ok(()),
    }
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

/// Ctrl-D on an empty line after others drops a message that has no end yet.
struct EndOfInput(Arc<AtomicBool>);

impl ConditionalEventHandler for EndOfInput {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let lines = context.line().strip_suffix('\n').filter(|_| context.pos() == context.line().len())?;
        (is_open(lines) || is_open(context.line())).then(|| {
            self.0.store(true, Ordering::Relaxed);
            Cmd::Interrupt
        })
    }
}
