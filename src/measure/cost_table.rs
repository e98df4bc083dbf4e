//! The cost of a step, known before it runs: dispatches, barriers, submissions, waits, bytes and operations, by kernel.
//!
//! A [`DryEngine`](crate::engine::DryEngine) needs no device and no weights. The table counts what the engine itself
//! requests.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{compute::cost::Cost, engine::DryStep, measure::chips::Chip};

/// The cost of everything that one step requested.
pub struct CostTable {
    /// The dispatches, in order.
    pub launches: Vec<Launch>,
    /// Programs submitted.
    pub submissions: u64,
    /// Times the host waited for the device.
    pub waits: u64,
}

/// One dispatch.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Whether it waits for earlier dispatches.
    pub barrier: bool,
    /// Its roofline cost.
    pub cost: Cost,
}

/// All dispatches of one kernel, or of all kernels.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The kernel's name; `None` for all kernels.
    pub kernel: Option<&'static str>,
    /// Number of dispatches.
    pub launches: u64,
    /// Number of dispatches that wait for earlier ones.
    pub barriers: u64,
    /// Their total cost.
    pub cost: Cost,
}

impl CostTable {
    /// The cost table of one engine step.
    pub fn of(step: &DryStep) -> Self {
        let launches = step.log.launches.iter().map(|launch| Launch {
            kernel: launch.kernel.name,
            barrier: launch.barrier,
            cost: launch.cost(&step.load),
        });
        Self { launches: launches.collect(), submissions: step.log.submissions, waits: step.log.waits }
    }

    /// One entry per kernel, ordered by bytes moved, most first.
    pub fn kernels(&self) -> Vec<Entry> {
        let names: BTreeSet<_> = self.launches.iter().map(|launch| launch.kernel).collect();
        let mut entries: Vec<_> = names.into_iter().map(|name| self.entry(Some(name))).collect();
        entries.sort_by_key(|entry| Reverse(entry.cost.moved()));
        entries
    }

    /// One entry for all dispatches.
    pub fn total(&self) -> Entry {
        self.entry(None)
    }

    fn launches_of<'a>(&'a self, kernel: Option<&'a str>) -> impl Iterator<Item = &'a Launch> {
        self.launches.iter().filter(move |launch| kernel.is_none_or(|name| launch.kernel == name))
    }

    fn entry(&self, kernel: Option<&'static str>) -> Entry {
        Entry {
            kernel,
            launches: self.launches_of(kernel).count() as u64,
            barriers: self.launches_of(kernel).filter(|launch| launch.barrier).count() as u64,
            cost: self.launches_of(kernel).map(|launch| launch.cost).sum(),
        }
    }

    /// Roofline time in seconds of a kernel's dispatches, or of all, on a chip. Each dispatch takes the longer of its
    /// memory time and its compute time. Dispatches do not overlap, and starting one costs nothing.
    pub fn roofline(&self, chip: &Chip, kernel: Option<&str>) -> f64 {
        self.launches_of(kernel).map(|launch| chip.roofline(&launch.cost)).sum()
    }
}

impl Entry {
    /// The kernel's name, or `total`.
    pub fn name(&self) -> &'static str {
        self.kernel.unwrap_or("total")
    }
}
