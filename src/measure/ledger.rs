//! What a step costs before it is run: launches, barriers, submissions, waits, bytes and operations, by kernel.
//!
//! A [`DryEngine`](crate::engine::DryEngine) needs no device and no weights, and what is counted is what the engine itself
//! asks for.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{compute::cost::Cost, engine::DryStep, measure::chips::Chip};

/// The cost of everything that one step asked for.
pub struct Ledger {
    /// In order.
    pub launches: Vec<Launch>,
    /// Programs handed over.
    pub submissions: u64,
    /// Times that the host waited for the device.
    pub waits: u64,
}

/// One launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Of which kernel.
    pub kernel: &'static str,
    /// Whether it waits for what came before.
    pub barrier: bool,
    /// What it costs at the least.
    pub cost: Cost,
}

/// All launches of one kernel, or of all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Of which kernel; `None` for those of all.
    pub kernel: Option<&'static str>,
    /// How many.
    pub launches: u64,
    /// How many of them wait for what came before.
    pub barriers: u64,
    /// What they cost together.
    pub cost: Cost,
}

impl Ledger {
    /// The ledger of one step of an engine.
    pub fn of(step: &DryStep) -> Self {
        let launches = step.log.launches.iter().map(|launch| Launch {
            kernel: launch.kernel.name,
            barrier: launch.barrier,
            cost: launch.cost(&step.load),
        });
        Self { launches: launches.collect(), submissions: step.log.submissions, waits: step.log.waits }
    }

    /// An entry for each kernel, the one that moves the most bytes first.
    pub fn kernels(&self) -> Vec<Entry> {
        let names: BTreeSet<_> = self.launches.iter().map(|launch| launch.kernel).collect();
        let mut entries: Vec<_> = names.into_iter().map(|name| self.entry(Some(name))).collect();
        entries.sort_by_key(|entry| Reverse(entry.cost.moved()));
        entries
    }

    /// All launches together.
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

    /// Seconds that the launches of a kernel, or of all, take at the least on a chip: each takes as long as its bytes
    /// or its operations do, whichever is longer, and none overlaps with another. Launches themselves cost nothing.
    pub fn floor(&self, chip: &Chip, kernel: Option<&str>) -> f64 {
        self.launches_of(kernel).map(|launch| chip.floor(&launch.cost)).sum()
    }
}

impl Entry {
    /// The kernel's name, or `total`.
    pub fn name(&self) -> &'static str {
        self.kernel.unwrap_or("total")
    }
}
