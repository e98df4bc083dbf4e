//! Standard output and standard error. The reader may close either at any time.

use std::{
    io::{ErrorKind, IsTerminal, Write, stderr, stdout},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use bimetal::{Error, Result};
use clap::Args;

use super::{
    color::{Color, Paint},
    wrap::{Wrap, columns},
};

/// Whether standard error only gets errors and warnings.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Flags for what is told beside the text.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Tell only errors and warnings
    #[arg(short, long)]
    pub quiet: bool,
    /// Dim what is not the answer
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

impl OutputArguments {
    /// Tells only errors and warnings from here on, if asked for.
    pub fn apply(&self) {
        QUIET.store(self.quiet, Ordering::Relaxed);
    }

    /// The paint for standard output.
    pub fn paint(&self) -> Paint {
        self.color.paint(stdout().is_terminal())
    }

    /// The paint for standard error.
    pub fn paint_notes(&self) -> Paint {
        self.color.paint(stderr().is_terminal())
    }
}

const STANDARD_OUTPUT: &str = "standard output";

/// Writes to standard output and flushes it.
pub fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io(STANDARD_OUTPUT))
}

/// Writes JSON to standard output.
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// Whether nothing but errors and warnings is told.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a line to standard error, unless that is to be quiet.
pub fn note(line: &str) {
    if !is_quiet() {
        complain(line);
    }
}

/// Writes an error or a warning to standard error. On a terminal it breaks between words. Ignores a closed standard
/// error.
pub fn complain(line: &str) {
    let mut wrap = Wrap::new(columns(stderr()));
    let text = wrap.push(line) + &wrap.finish();
    let _ = writeln!(stderr(), "{text}");
}

/// Whether the error means that the reader of standard output, such as `head`, has closed it.
pub fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { path, source }
        if path == Path::new(STANDARD_OUTPUT) && source.kind() == ErrorKind::BrokenPipe)
}
