//! When to measure a program's submissions, by device timestamps, and how the times decide the next split.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use wgpu::Features;

use super::{clock::Readings, device::Device};
use crate::compute::lock::lock;
use crate::compute::{
    caps::DeviceKind,
    submission::{Estimate, submissions_at_first},
};

/// A program far below the target is measured in its FIRST runs, and later once in EVERY runs.
const FIRST: u32 = 3;
const EVERY: u32 = 32;
const FAR: f64 = 0.125;

/// The split of one program into submissions.
pub(super) struct SubmissionPlan {
    target: f64,
    measured: bool,
    state: Mutex<State>,
}

struct State {
    estimate: Estimate,
    submissions: Arc<[Range<usize>]>,
    runs: u32,
    under_way: Option<Measurement>,
    idle: Option<Readings>,
}

/// A run under measurement.
struct Measurement {
    submissions: Arc<[Range<usize>]>,
    readings: Readings,
}

impl SubmissionPlan {
    pub(super) fn new(device: &Device, kind: DeviceKind, (dispatches, target): (usize, Duration)) -> Self {
        let estimate = Estimate::new(dispatches);
        let submissions = estimate.split(submissions_at_first(kind, target));
        let state = State { submissions, estimate, runs: 0, under_way: None, idle: None };
        let measured = device.handle.features().contains(Features::TIMESTAMP_QUERY) && !target.is_zero();
        Self { target: target.as_secs_f64(), measured, state: Mutex::new(state) }
    }

    /// The dispatches of each submission of the next run, and the timestamps to fill if the run is to be measured.
    pub(super) fn begin(&self, device: &Device) -> (Arc<[Range<usize>]>, Option<Readings>) {
        let state = &mut *lock(&self.state);
        state.learn(device, self.target);
        let far = state.estimate.measured().is_some_and(|seconds| seconds < FAR * self.target);
        let due = !far || state.runs < FIRST || state.runs.is_multiple_of(EVERY);
        state.runs = state.runs.wrapping_add(1);
        let submissions = state.submissions.clone();
        if !self.measured || !due || state.under_way.is_some() || submissions.is_empty() {
            return (submissions, None);
        }
        let idle = state.idle.take().filter(|readings| readings.passes() == submissions.len());
        let readings = idle.unwrap_or_else(|| Readings::new(device, submissions.len()));
        (submissions, Some(readings))
    }

    /// Stores a submitted run with its timestamps.
    pub(super) fn submitted(&self, submissions: Arc<[Range<usize>]>, readings: Readings) {
        readings.request();
        lock(&self.state).under_way = Some(Measurement { submissions, readings });
    }
}

impl State {
    /// Reads a finished measurement, without waiting.
    fn learn(&mut self, device: &Device, target: f64) {
        let Some(Measurement { submissions, readings }) = self.under_way.take_if(|run| run.readings.arrived()) else {
            return;
        };
        let Ok(times) = readings.times(device) else { return };
        self.idle = Some(readings);
        self.estimate.learn(&submissions, &times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
        let seconds = self.estimate.measured().unwrap_or_default();
        self.submissions = self.estimate.split((seconds / target).ceil() as usize);
    }
}
