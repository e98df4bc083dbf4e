//! How fast a download is now: only bytes of this run count, and a pause shows.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bimetal::low_level::hub::size_text;
use indicatif::HumanDuration;

/// The time over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(5);
/// A pause that is told.
const STALL: Duration = Duration::from_secs(3);

/// The positions of the last seconds.
pub struct Rate {
    total: u64,
    /// When each position was reached, the oldest first. Never empty.
    reached: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Begins at the position where an earlier run ended.
    pub fn new(now: Instant, position: u64, total: u64) -> Self {
        Self { total, reached: VecDeque::from([(now, position)]) }
    }

    /// Takes a new position. One that goes back begins anew.
    pub fn advance(&mut self, now: Instant, position: u64) {
        let (_, last) = self.last();
        if position < last {
            self.reached.clear();
        }
        if position != last {
            self.reached.push_back((now, position));
        }
        while self.reached.len() > 2 && now.duration_since(self.reached[1].0) > WINDOW {
            self.reached.pop_front();
        }
    }

    fn last(&self) -> (Instant, u64) {
        self.reached[self.reached.len() - 1]
    }

    /// The rate and the time that is left, or how long nothing came.
    pub fn text(&self, now: Instant) -> String {
        let ((start, from), (since, position)) = (self.reached[0], self.last());
        let silent = now.duration_since(since);
        if silent >= STALL && position < self.total {
            return format!("stalled for {} s", silent.as_secs());
        }
        let seconds = now.duration_since(start).as_secs_f64();
        if position == from || seconds == 0.0 {
            return String::new();
        }
        let rate = (position - from) as f64 / seconds;
        let left = Duration::from_secs_f64((self.total.saturating_sub(position) as f64 / rate).min(1e9).ceil());
        format!("{}/s, {:#} left", size_text(rate as u64), HumanDuration(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_bytes_do_not_count_and_a_stall_shows() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut meter = Rate::new(begin, 800 << 20, 1000 << 20);
        assert_eq!(meter.text(at(1)), "");
        meter.advance(at(1), 810 << 20);
        meter.advance(at(2), 820 << 20);
        assert_eq!(meter.text(at(2)), "10.0 MiB/s, 18s left");
        assert_eq!(meter.text(at(9)), "stalled for 7 s");
        meter.advance(at(10), 860 << 20);
        meter.advance(at(11), 900 << 20);
        assert_eq!(meter.text(at(11)), "8.9 MiB/s, 12s left");
        // A server without ranges sends all of it again.
        meter.advance(at(12), 0);
        meter.advance(at(14), 40 << 20);
        assert_eq!(meter.text(at(14)), "20.0 MiB/s, 48s left");
    }
}
