//! Work beside other work, on targets with threads and on those without.

use std::{
    panic::resume_unwind,
    thread::{Scope, ScopedJoinHandle},
};

/// Work that was begun.
pub(crate) enum Begun<'scope, T> {
    /// On a thread of its own.
    Beside(ScopedJoinHandle<'scope, T>),
    /// It is done: a browser has no threads to spend.
    Done(T),
}

/// Begins some work on a thread of its own, or does it at once where there are no threads.
pub(crate) fn begin<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Begun<'scope, T> {
    if cfg!(target_family = "wasm") { Begun::Done(work()) } else { Begun::Beside(scope.spawn(work)) }
}

impl<T> Begun<'_, T> {
    /// What came of it. A panic there goes on here.
    pub(crate) fn join(self) -> T {
        match self {
            Self::Beside(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Self::Done(outcome) => outcome,
        }
    }
}
