//! How a program is split into submissions, so that none blocks a slow device for long. Other programs draw with it,
//! and drivers reset a device that does not respond.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::compute::caps::DeviceKind;

/// Target duration of one submission.
pub(crate) const TARGET: Duration = Duration::from_millis(100);

/// Submissions of a program of unknown duration on a device that may be slow.
const CAUTIOUS: usize = 8;

/// Maximum submissions of one program.
const MAX_SUBMISSIONS: usize = 1024;

/// Submissions of a program without measured times. With a target of zero, every dispatch is a submission.
pub(crate) fn submissions_at_first(kind: DeviceKind, target: Duration) -> usize {
    match kind {
        _ if target.is_zero() => MAX_SUBMISSIONS,
        DeviceKind::Discrete => 1,
        _ => CAUTIOUS,
    }
}

/// Estimated duration of each dispatch.
pub(crate) struct Estimate {
    seconds: Vec<f64>,
    /// Whether the durations were measured; before that, only their ratios are guessed.
    known: bool,
}

/// Shorter than any dispatch. A duration of zero could never grow by scaling.
const MIN_SECONDS: f64 = 1e-9;

impl Estimate {
    /// An estimate for dispatches of unknown duration.
    pub(crate) fn new(dispatches: usize) -> Self {
        Self { seconds: vec![1.0; dispatches], known: false }
    }

    /// Total seconds, if measured.
    pub(crate) fn measured(&self) -> Option<f64> {
        self.known.then(|| self.total())
    }

    fn total(&self) -> f64 {
        self.seconds.iter().sum()
    }

    /// Learns the measured times of submissions. A program with few active rows takes less time than a full one, so a
    /// shorter time counts only half.
    pub(crate) fn learn(&mut self, submissions: &[Range<usize>], times: &[f64]) {
        let less = self.known && times.iter().sum::<f64>() < self.total();
        for (submission, time) in submissions.iter().zip(times) {
            let seconds = &mut self.seconds[submission.clone()];
            let scale = time / seconds.iter().sum::<f64>();
            let scale = if less { (1.0 + scale) / 2.0 } else { scale };
            seconds.iter_mut().for_each(|seconds| *seconds = (*seconds * scale).max(MIN_SECONDS));
        }
        self.known = true;
    }

    /// At most `count` submissions of about equal duration, none empty.
    pub(crate) fn split(&self, count: usize) -> Arc<[Range<usize>]> {
        let count = count.clamp(1, MAX_SUBMISSIONS).min(self.seconds.len());
        let share = self.total() / count.max(1) as f64;
        let (mut submissions, mut start, mut sum) = (Vec::new(), 0, 0.0);
        for (at, seconds) in self.seconds.iter().enumerate() {
            // A dispatch belongs to the submission that contains its midpoint.
            if at > start
                && sum + seconds / 2.0 >= share * (submissions.len() + 1) as f64
                && submissions.len() + 1 < count
            {
                submissions.push(start..at);
                start = at;
            }
            sum += seconds;
        }
        if start < self.seconds.len() {
            submissions.push(start..self.seconds.len());
        }
        submissions.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{Estimate, Range};

    fn new(seconds: &[f64]) -> Estimate {
        Estimate { seconds: seconds.to_vec(), known: false }
    }

    /// Duration of each submission if the dispatches take `truth`.
    fn times(submissions: &[Range<usize>], truth: &[f64]) -> Vec<f64> {
        submissions.iter().map(|submission| truth[submission.clone()].iter().sum()).collect()
    }

    #[test]
    fn submissions_are_all_dispatches_in_order() {
        for (dispatches, count) in [(0, 1), (1, 8), (7, 1), (7, 3), (7, 7), (7, 100), (5000, 100_000)] {
            let submissions = new(&vec![1.0; dispatches]).split(count);
            assert_eq!(submissions.len(), count.min(dispatches).min(super::MAX_SUBMISSIONS), "{dispatches} in {count}");
            assert_eq!(submissions.iter().cloned().flatten().collect::<Vec<_>>(), (0..dispatches).collect::<Vec<_>>());
            let lengths = || submissions.iter().map(ExactSizeIterator::len);
            assert!(lengths().max().unwrap_or(0) - lengths().min().unwrap_or(0) <= 1, "{dispatches} in {count}");
        }
    }

    #[test]
    fn no_more_pieces_than_the_time_asks_for() {
        let truth: Vec<f64> = (0..100).map(|i| if i % 10 == 0 { 0.02 } else { 0.001 }).collect();
        let mut estimate = new(&[1.0; 100]);
        let mut submissions = estimate.split(1);
        for _ in 0..6 {
            estimate.learn(&submissions, &times(&submissions, &truth));
            assert!((estimate.total() - 0.29).abs() < 1e-9, "{}", estimate.total());
            submissions = estimate.split(3);
            assert_eq!(submissions.len(), 3);
        }
        assert!(times(&submissions, &truth).into_iter().all(|time| time < 0.125), "{:?}", times(&submissions, &truth));
    }

    #[test]
    fn pieces_even_out_where_the_time_lies() {
        // The last tenth of the dispatches takes nine tenths of the time.
        let truth: Vec<f64> = (0..200).map(|i| if i < 180 { 0.1 / 180.0 } else { 0.9 / 20.0 }).collect();
        let mut estimate = new(&[1.0; 200]);
        let mut submissions = estimate.split(8);
        for _ in 0..8 {
            estimate.learn(&submissions, &times(&submissions, &truth));
            submissions = estimate.split(10);
        }
        assert!(times(&submissions, &truth).into_iter().all(|time| time < 0.15), "{:?}", times(&submissions, &truth));
    }

    #[test]
    fn less_is_believed_by_halves_and_more_at_once() {
        let mut estimate = new(&[1.0; 4]);
        let whole = estimate.split(1);
        for (time, total) in [(0.8, 0.8), (0.4, 0.6), (0.4, 0.5), (0.9, 0.9), (0.0, 0.45)] {
            estimate.learn(&whole, &[time]);
            assert!((estimate.total() - total).abs() < 1e-6, "{time}: {}", estimate.total());
        }
        for _ in 0..200 {
            estimate.learn(&whole, &[0.0]);
        }
        estimate.learn(&whole, &[0.5]);
        assert!((estimate.total() - 0.5).abs() < 1e-6, "{}", estimate.total());
    }
}
