//! Background work, on targets with and without threads.

use std::{
    panic::resume_unwind,
    thread::{Scope, ScopedJoinHandle},
};

/// Work in progress.
pub(super) enum Begun<'scope, T> {
    /// Runs on a separate thread.
    Beside(ScopedJoinHandle<'scope, T>),
    /// Already done: a browser has no threads.
    Done(T),
}

/// Starts work on a separate thread, or runs it at once on targets without threads.
pub(super) fn begin<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Begun<'scope, T> {
    if cfg!(target_family = "wasm") { Begun::Done(work()) } else { Begun::Beside(scope.spawn(work)) }
}

impl<T> Begun<'_, T> {
    /// The result. Continues a panic of the work.
    pub(super) fn join(self) -> T {
        match self {
            Self::Beside(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Self::Done(outcome) => outcome,
        }
    }
}
