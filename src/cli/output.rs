//! Standard output and standard error, either of which may be closed at any time.

use std::{
    io::{ErrorKind, Write, stderr, stdout},
    path::Path,
};

use bimetal::{Error, Result};

const STANDARD_OUTPUT: &str = "standard output";

/// Writes to standard output at once.
pub fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io(STANDARD_OUTPUT))
}

/// Writes JSON to standard output.
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// Says a line on standard error. Where nobody listens there, nothing is lost that anybody wanted.
pub fn note(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Whether this is the end of a reader of standard output, such as `head`, that has read what it wanted.
pub fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { path, source }
        if path == Path::new(STANDARD_OUTPUT) && source.kind() == ErrorKind::BrokenPipe)
}
