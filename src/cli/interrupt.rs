//! Ctrl-C handling for commands that do not end at once.

use std::{
    process::{ExitCode, exit},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bimetal::{Error, Result};

use super::{output::complain, terminal};

/// The exit code of a program that Ctrl-C ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C ended the program's work before its time.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Ctrl-C sets a flag, and writes a message unless that is empty. A second Ctrl-C before the flag is cleared ends the
/// program.
pub fn watch(interrupted: &Arc<AtomicBool>, message: &'static str) -> Result<()> {
    let raised = interrupted.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            terminal::restore();
            exit(INTERRUPTED.into());
        }
        if !message.is_empty() {
            complain(message);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Request(format!("cannot handle Ctrl-C: {error}")))
}

/// Ctrl-C has ended the program's work, which has told so.
pub fn end() {
    ENDED.store(true, Ordering::Relaxed);
}

/// The error of work that Ctrl-C ended. The program's exit code says so, too.
pub fn ended(what: String) -> Error {
    end();
    Error::Request(what)
}

/// The exit code of a program that failed or not, or that Ctrl-C ended.
pub fn exit_code(otherwise: ExitCode) -> ExitCode {
    if ENDED.load(Ordering::Relaxed) { ExitCode::from(INTERRUPTED) } else { otherwise }
}
