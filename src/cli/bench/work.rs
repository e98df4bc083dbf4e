//! Timed dispatches against their roofline.

use std::ops::AddAssign;

use bimetal::{low_level::compute::cost::Cost, measure::chips::Chip};
use serde_json::{Value, json};

use crate::cli::{figures::short_or_none, table::Column};

/// Dispatches, their cost and their time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Number of dispatches.
    pub dispatches: u64,
    /// Total time in seconds.
    pub seconds: f64,
    /// Total cost.
    pub cost: Cost,
    /// Total roofline time in seconds, if the chip is known.
    pub roofline: Option<f64>,
}

impl Work {
    /// The work of one dispatch.
    pub fn one(cost: Cost, seconds: f64, chip: Option<&Chip>) -> Self {
        Self { dispatches: 1, seconds, cost, roofline: chip.map(|chip| chip.roofline(&cost)) }
    }

    /// No work yet, with or without a known chip.
    pub fn none(chip: Option<&Chip>) -> Self {
        Self { roofline: chip.map(|_| 0.0), ..Self::default() }
    }

    /// An amount per second; `None` if the time is below the clock's resolution.
    fn rate(&self, amount: f64) -> Option<f64> {
        (self.seconds > 0.0).then(|| amount / self.seconds)
    }

    /// Minimum memory traffic, in GB/s.
    pub fn bandwidth(&self) -> Option<f64> {
        self.rate(self.cost.moved() as f64 / 1e9)
    }

    /// Operations, in TFLOP/s.
    pub fn operations(&self) -> Option<f64> {
        self.rate(self.cost.flops.total() as f64 / 1e12)
    }

    /// Roofline time over measured time, from 0 to 1.
    pub fn of_roofline(&self) -> Option<f64> {
        self.roofline.and_then(|roofline| self.rate(roofline))
    }

    /// The achieved rates, for a table.
    pub fn cells(&self) -> Vec<String> {
        let mut cells = [self.bandwidth(), self.operations()].map(short_or_none).to_vec();
        cells.extend(self.roofline.map(|_| short_or_none(self.of_roofline().map(|share| 100.0 * share))));
        cells
    }

    /// The achieved rates, as JSON.
    pub fn as_json(&self) -> Value {
        json!({
            "launches": self.dispatches, "seconds": self.seconds, "bytes": self.cost.moved(),
            "flops": { "matrix": self.cost.flops.matrix, "vector": self.cost.flops.vector },
            "bytes_per_second": self.rate(self.cost.moved() as f64),
            "flops_per_second": self.rate(self.cost.flops.total() as f64),
            "floor_seconds": self.roofline, "of_floor": self.of_roofline(),
        })
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.dispatches += other.dispatches;
        self.seconds += other.seconds;
        self.cost += other.cost;
        self.roofline = self.roofline.zip(other.roofline).map(|(a, b)| a + b);
    }
}

/// The columns of [`Work::cells`]; the last one only if the chip is known.
pub fn columns(chip: Option<&Chip>) -> impl Iterator<Item = Column> {
    ["GB/s", "TFLOP/s", "% of\nroofline"].into_iter().take(if chip.is_some() { 3 } else { 2 }).map(Column::number)
}

/// The median of some figures; for an even number, the mean of the two middle ones.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 }
}
