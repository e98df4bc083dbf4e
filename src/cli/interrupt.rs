//! Ctrl-C handling for commands that do not end at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bimetal::{Error, Result};

/// Ctrl-C sets a flag. A second Ctrl-C before the flag is cleared ends the program.
pub fn watch(interrupted: &Arc<AtomicBool>) -> Result<()> {
    let raised = interrupted.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Request(format!("cannot handle Ctrl-C: {error}")))
}
