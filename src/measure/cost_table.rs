//! The cost of a step, known before it runs: dispatches, barriers, submissions, waits, bytes and operations, by kernel.
//!
//! A [`DryEngine`](crate::engine::DryEngine) needs no device and no weights. The table counts what the engine itself
//! requests.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{compute::cost::Cost, engine::DryStep, measure::chips::Chip};

/// The cost of everything that one step requested.
pub struct CostTable {
    /// The dispatches, in order.
    pub dispatches: Vec<DispatchCost>,
    /// Programs submitted.
    pub submissions: u64,
    /// Times the host waited for the device.
    pub waits: u64,
}

/// One dispatch.
#[derive(Clone, Copy, Debug)]
pub struct DispatchCost {
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
    pub dispatches: u64,
    /// Number of dispatches that wait for earlier ones.
    pub barriers: u64,
    /// Their total cost.
    pub cost: Cost,
}

impl CostTable {
    /// The cost table of one engine step.
    pub fn of(step: &DryStep) -> Self {
        let dispatches = step.log.dispatches.iter().map(|dispatch| DispatchCost {
            kernel: dispatch.kernel.name,
            barrier: dispatch.barrier,
            cost: dispatch.cost(&step.load),
        });
        Self { dispatches: dispatches.collect(), submissions: step.log.submissions, waits: step.log.waits }
    }

    /// One entry per kernel, ordered by bytes moved, most first.
    pub fn kernels(&self) -> Vec<Entry> {
        let names: BTreeSet<_> = self.dispatches.iter().map(|dispatch| dispatch.kernel).collect();
        let mut entries: Vec<_> = names.into_iter().map(|name| self.entry(Some(name))).collect();
        entries.sort_by_key(|entry| Reverse(entry.cost.moved()));
        entries
    }

    /// One entry for all dispatches.
    pub fn total(&self) -> Entry {
        self.entry(None)
    }

    fn dispatches_of<'a>(&'a self, kernel: Option<&'a str>) -> impl Iterator<Item = &'a DispatchCost> {
        self.dispatches.iter().filter(move |dispatch| kernel.is_none_or(|name| dispatch.kernel == name))
    }

    fn entry(&self, kernel: Option<&'static str>) -> Entry {
        Entry {
            kernel,
            dispatches: self.dispatches_of(kernel).count() as u64,
            barriers: self.dispatches_of(kernel).filter(|dispatch| dispatch.barrier).count() as u64,
            cost: self.dispatches_of(kernel).map(|dispatch| dispatch.cost).sum(),
        }
    }

    /// Roofline time in seconds of a kernel's dispatches, or of all, on a chip. Each dispatch takes the longer of its
    /// memory time and its compute time. Dispatches do not overlap, and starting one costs nothing.
    pub fn roofline(&self, chip: &Chip, kernel: Option<&str>) -> f64 {
        self.dispatches_of(kernel).map(|dispatch| chip.roofline(&dispatch.cost)).sum()
    }
}

impl Entry {
    /// The kernel's name, or `total`.
    pub fn name(&self) -> &'static str {
        self.kernel.unwrap_or("total")
    }
}
