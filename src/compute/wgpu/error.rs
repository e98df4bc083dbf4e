//! Asynchronous device errors, stored until the next call that can report them.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use crate::{
    compute::lock::lock,
    error::{Error, Result},
};

/// The known errors. The driver reports them through callbacks, on any thread.
#[derive(Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    running: Option<Arc<str>>,
    /// Refused work: reported once, by the next call.
    refused: Option<(String, String)>,
    /// The loss of the device: reported by every later call.
    lost: Option<(String, String)>,
}

impl State {
    fn label(&self) -> String {
        self.running.as_deref().unwrap_or("setting up").into()
    }
}

impl Health {
    /// Sets the label of the device's current work.
    pub(super) fn start(&self, label: &Arc<str>) {
        lock(&self.0).running = Some(label.clone());
    }

    /// Records work that the device refused after accepting it.
    pub(super) fn refused(&self, what: String) {
        let state = &mut *lock(&self.0);
        let label = state.label();
        state.refused.get_or_insert((label, what));
    }

    /// Records work, by label, that the device refused after accepting it.
    pub(super) fn refused_work(&self, label: &str, what: String) {
        lock(&self.0).refused.get_or_insert_with(|| (label.into(), what));
    }

    /// Records the loss of the device.
    pub(super) fn lost(&self, what: String) {
        let state = &mut *lock(&self.0);
        let label = state.label();
        state.lost.get_or_insert((label, format!("the device is lost: {what}")));
    }

    /// Whether the device is lost.
    pub(super) fn is_lost(&self) -> bool {
        lock(&self.0).lost.is_some()
    }

    /// Returns a stored error, if any.
    pub(super) fn check(&self) -> Result<()> {
        let state = &mut *lock(&self.0);
        match state.lost.clone().or_else(|| state.refused.take()) {
            None => Ok(()),
            Some((label, what)) => Err(Error::Device { label, what }),
        }
    }
}

/// The message of a caught panic.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic without a message").into()
}
