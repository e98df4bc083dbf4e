//! Launches that were timed, against what they cost at the least.

use std::ops::AddAssign;

use bimetal::{low_level::compute::cost::Cost, measure::chips::Chip};
use serde_json::{Value, json};

/// Launches, their cost, and how long they took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// How many.
    pub launches: u64,
    /// How long they took together.
    pub seconds: f64,
    /// What they cost together.
    pub cost: Cost,
    /// How long they take at the least on the chip, where it is known.
    pub floor: Option<f64>,
}

/// Headings of [`Work::cells`]; the last one only where the chip is known.
pub const HEADING: [&str; 3] = ["GB/s", "TFLOP/s", "% of floor"];

impl Work {
    /// One launch.
    pub fn one(cost: Cost, seconds: f64, chip: Option<&Chip>) -> Self {
        Self { launches: 1, seconds, cost, floor: chip.map(|chip| chip.floor(&cost)) }
    }

    /// Nothing yet, on a chip that is known or not.
    pub fn none(chip: Option<&Chip>) -> Self {
        Self { floor: chip.map(|_| 0.0), ..Self::default() }
    }

    /// An amount for each second; none where the clock's ticks are longer than the launches.
    fn rate(&self, amount: f64) -> Option<f64> {
        (self.seconds > 0.0).then(|| amount / self.seconds)
    }

    /// Bytes that had to be moved, in GB/s.
    pub fn bandwidth(&self) -> Option<f64> {
        self.rate(self.cost.moved() as f64 / 1e9)
    }

    /// Operations, in TFLOP/s.
    pub fn operations(&self) -> Option<f64> {
        self.rate(self.cost.flops.total() as f64 / 1e12)
    }

    /// How much of the time the chip needs at the least, from 0 to 1.
    pub fn of_floor(&self) -> Option<f64> {
        self.floor.and_then(|floor| self.rate(floor))
    }

    /// What was achieved, for a table.
    pub fn cells(&self) -> Vec<String> {
        let show = |value: Option<f64>, digits| value.map_or("-".into(), |value| format!("{value:.digits$}"));
        let mut cells = vec![show(self.bandwidth(), 1), show(self.operations(), 3)];
        cells.extend(self.floor.map(|_| show(self.of_floor().map(|share| 100.0 * share), 1)));
        cells
    }

    /// What was achieved, for programs.
    pub fn as_json(&self) -> Value {
        json!({
            "launches": self.launches, "seconds": self.seconds, "bytes": self.cost.moved(),
            "flops": { "matrix": self.cost.flops.matrix, "vector": self.cost.flops.vector },
            "bytes_per_second": self.rate(self.cost.moved() as f64),
            "flops_per_second": self.rate(self.cost.flops.total() as f64),
            "floor_seconds": self.floor, "of_floor": self.of_floor(),
        })
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.launches += other.launches;
        self.seconds += other.seconds;
        self.cost += other.cost;
        self.floor = self.floor.zip(other.floor).map(|(a, b)| a + b);
    }
}

/// The headings that go with a chip that is known or not.
pub fn heading(chip: Option<&Chip>) -> impl Iterator<Item = &'static str> {
    HEADING.into_iter().take(if chip.is_some() { 3 } else { 2 })
}

/// The middle one of some figures; of an even number, the mean of the two in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 }
}
