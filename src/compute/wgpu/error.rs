//! What goes wrong on a device while nobody is asking, kept until somebody is.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use crate::compute::lock::lock;
use crate::error::{Error, Result};

/// What is known to be wrong. The driver tells it from callbacks, on any thread.
#[derive(Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    running: Option<Arc<str>>,
    /// Refused work: told once, to whoever asks next.
    refused: Option<(String, String)>,
    /// The end of the device: told to everybody from then on.
    lost: Option<(String, String)>,
}

impl State {
    fn label(&self) -> String {
        self.running.as_deref().unwrap_or("setting up").into()
    }
}

impl Health {
    /// Notes what the device works on from now.
    pub(super) fn start(&self, label: &Arc<str>) {
        lock(&self.0).running = Some(label.clone());
    }

    /// Notes work that was refused after it had been accepted.
    pub(super) fn refused(&self, what: String) {
        let state = &mut *lock(&self.0);
        let label = state.label();
        state.refused.get_or_insert((label, what));
    }

    /// Notes work of a label that was refused after it had been accepted.
    pub(super) fn refused_work(&self, label: &str, what: String) {
        lock(&self.0).refused.get_or_insert_with(|| (label.into(), what));
    }

    /// Notes that the device is gone.
    pub(super) fn lost(&self, what: String) {
        let state = &mut *lock(&self.0);
        let label = state.label();
        state.lost.get_or_insert((label, format!("the device is lost: {what}")));
    }

    /// Whether the device is gone.
    pub(super) fn is_lost(&self) -> bool {
        lock(&self.0).lost.is_some()
    }

    /// Says what is wrong, if anything is.
    pub(super) fn check(&self) -> Result<()> {
        let state = &mut *lock(&self.0);
        match state.lost.clone().or_else(|| state.refused.take()) {
            None => Ok(()),
            Some((label, what)) => Err(Error::Device { label, what }),
        }
    }
}

/// The text of a caught panic.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic without a message").into()
}
