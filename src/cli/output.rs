//! Standard output and standard error. The reader may close either at any time.

use std::{
    io::{ErrorKind, Write, stderr, stdout},
    path::Path,
};

use bimetal::{Error, Result};

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

/// Writes a line to standard error. Ignores a closed standard error.
pub fn note(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Whether the error means that the reader of standard output, such as `head`, has closed it.
pub fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { path, source }
        if path == Path::new(STANDARD_OUTPUT) && source.kind() == ErrorKind::BrokenPipe)
}
