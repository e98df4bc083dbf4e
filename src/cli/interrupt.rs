//! Ctrl-C, where it is not the end of everything.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bimetal::{Error, Result};

/// Raises a flag at Ctrl-C; twice before somebody lowers it ends the program.
pub fn watch(interrupted: &Arc<AtomicBool>) -> Result<()> {
    let raised = interrupted.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Request(format!("Ctrl-C cannot be watched: {error}")))
}
