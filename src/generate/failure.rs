//! A failed step, and the texts that it ended.

use std::collections::BTreeSet;

use crate::{engine::scheduler::SequenceId, error::Error};

/// The error of a step, and the open texts that it ended.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) ended: BTreeSet<SequenceId>,
}

/// The error of a step whose future was dropped before the device answered.
pub(super) fn abandoned() -> Error {
    let what = "its future was dropped before the device answered, which ended its texts; add them again";
    Error::Device { label: "a step of the engine".into(), what: what.into() }
}

/// A copy of the error for another reader. An error that cannot be copied becomes a device error with the same text.
pub(super) fn again(error: &Error) -> Error {
    match error {
        Error::OutOfMemory { label, bytes, hint } => {
            Error::OutOfMemory { label: label.clone(), bytes: *bytes, hint: hint.clone() }
        }
        Error::Shader { kernel, log } => Error::Shader { kernel: kernel.clone(), log: log.clone() },
        Error::Device { label, what } => Error::Device { label: label.clone(), what: what.clone() },
        Error::Request(what) => Error::Request(what.clone()),
        other => Error::Device { label: "a step of the engine".into(), what: other.to_string() },
    }
}
