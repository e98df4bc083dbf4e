//! Measures the command buffers of a program, to split its next run into as many as it needs.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::compute::lock::lock;
use crate::compute::{
    caps::DeviceKind,
    submission::{Estimate, pieces_at_first},
};

/// The split of one program into command buffers.
pub(super) struct Pace {
    target: f64,
    state: Mutex<State>,
}

struct State {
    estimate: Estimate,
    pieces: Arc<[Range<usize>]>,
    runs: u64,
    under_way: Option<Run>,
}

/// A run under measurement: at most one at a time.
struct Run {
    number: u64,
    pieces: Arc<[Range<usize>]>,
    times: Vec<f64>,
}

impl Pace {
    pub(super) fn new(kind: DeviceKind, launches: usize, target: Duration) -> Self {
        let estimate = Estimate::new(launches);
        let pieces = estimate.cut(pieces_at_first(kind, target));
        let state = Mutex::new(State { estimate, pieces, runs: 0, under_way: None });
        Self { target: target.as_secs_f64(), state }
    }

    /// The dispatches of each command buffer of the next run, and that run's number.
    pub(super) fn begin(&self) -> (Arc<[Range<usize>]>, u64) {
        let state = &mut *lock(&self.state);
        state.runs += 1;
        let (number, pieces) = (state.runs, state.pieces.clone());
        if self.target > 0.0 {
            state.under_way.get_or_insert_with(|| Run { number, pieces: pieces.clone(), times: Vec::new() });
        }
        (pieces, number)
    }

    /// Records the duration of a run's next command buffer; `None` if it failed or never ran.
    pub(super) fn ended(&self, run: u64, seconds: Option<f64>) {
        let state = &mut *lock(&self.state);
        let Some(measured) = state.under_way.as_mut().filter(|measured| measured.number == run) else { return };
        let Some(seconds) = seconds else {
            state.under_way = None;
            return;
        };
        measured.times.push(seconds);
        if measured.times.len() < measured.pieces.len() {
            return;
        }
        if let Some(Run { pieces, times, .. }) = state.under_way.take() {
            state.estimate.learn(&pieces, &times);
            let seconds = state.estimate.measured().unwrap_or_default();
            state.pieces = state.estimate.cut((seconds / self.target).ceil() as usize);
        }
    }
}
