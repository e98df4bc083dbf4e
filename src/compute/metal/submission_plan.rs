//! Measures the command buffers of a program, to split its next run into as many as it needs.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::compute::lock::lock;
use crate::compute::{
    caps::DeviceKind,
    submission::{Estimate, submissions_at_first},
};

/// The split of one program into command buffers.
pub(super) struct SubmissionPlan {
    target: f64,
    state: Mutex<State>,
}

struct State {
    estimate: Estimate,
    submissions: Arc<[Range<usize>]>,
    runs: u64,
    under_way: Option<Run>,
}

/// A run under measurement: at most one at a time.
struct Run {
    number: u64,
    submissions: Arc<[Range<usize>]>,
    times: Vec<f64>,
}

impl SubmissionPlan {
    pub(super) fn new(kind: DeviceKind, dispatches: usize, target: Duration) -> Self {
        let estimate = Estimate::new(dispatches);
        let submissions = estimate.split(submissions_at_first(kind, target));
        let state = Mutex::new(State { estimate, submissions, runs: 0, under_way: None });
        Self { target: target.as_secs_f64(), state }
    }

    /// The dispatches of each command buffer of the next run, and that run's number.
    pub(super) fn begin(&self) -> (Arc<[Range<usize>]>, u64) {
        let state = &mut *lock(&self.state);
        state.runs += 1;
        let (number, submissions) = (state.runs, state.submissions.clone());
        if self.target > 0.0 {
            state.under_way.get_or_insert_with(|| Run { number, submissions: submissions.clone(), times: Vec::new() });
        }
        (submissions, number)
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
        if measured.times.len() < measured.submissions.len() {
            return;
        }
        if let Some(Run { submissions, times, .. }) = state.under_way.take() {
            state.estimate.learn(&submissions, &times);
            let seconds = state.estimate.measured().unwrap_or_default();
            state.submissions = state.estimate.split((seconds / self.target).ceil() as usize);
        }
    }
}
