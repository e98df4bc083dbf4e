//! Command buffers in flight: their order, their outcomes, and errors stored until a call can report them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use super::driver::{Driver, Outcome};
use crate::compute::lock::lock;
use crate::error::{Error, Result};

/// Maximum command buffers in flight; Metal's own queue takes 64.
const MAX_IN_FLIGHT: usize = 32;

/// The command buffers of one device, numbered from 1 in execution order.
pub(super) struct Queue<D: Driver> {
    pub(super) driver: Arc<D>,
    state: Mutex<State<D>>,
    /// Held while encoding and committing, from the moment that numbers are claimed.
    commit_lock: Mutex<()>,
}

struct State<D: Driver> {
    committed: u64,
    /// Number of the last command buffer of the ended prefix: all up to it have ended.
    ended: u64,
    under_way: VecDeque<Flight<D>>,
    failures: Vec<Failure>,
    /// Failures up to this number were reported.
    told: u64,
}

struct Flight<D: Driver> {
    number: u64,
    commands: Arc<D::Committed>,
    label: Arc<str>,
    on_end: OnEnd,
}

/// Receives the seconds of a command buffer; `None` if it failed.
pub(super) type OnEnd = Box<dyn FnOnce(Option<f64>) + Send>;

/// The failure of one command buffer.
#[derive(Clone)]
struct Failure {
    number: u64,
    label: Arc<str>,
    what: String,
}

impl Failure {
    fn error(&self) -> Error {
        Error::Device { label: self.label.to_string(), what: self.what.clone() }
    }
}

impl<D: Driver> Queue<D> {
    pub(super) fn new(driver: Arc<D>) -> Self {
        let state = State { committed: 0, ended: 0, under_way: VecDeque::new(), failures: Vec::new(), told: 0 };
        Self { driver, state: Mutex::new(state), commit_lock: Mutex::default() }
    }

    /// Waits for the exclusive right to commit, and holds it.
    pub(super) fn commit_lock(&self) -> MutexGuard<'_, ()> {
        lock(&self.commit_lock)
    }

    /// Number of the last committed command buffer. The holder of the commit lock commits the next number.
    pub(super) fn committed(&self) -> u64 {
        lock(&self.state).committed
    }

    /// Number of the last command buffer known to have ended.
    pub(super) fn ended(&self) -> u64 {
        lock(&self.state).ended
    }

    /// Begins a command buffer, after waiting for room. The caller must hold the commit lock.
    pub(super) fn begin(&self, label: &str) -> Result<D::Commands> {
        let full = lock(&self.state).under_way.len() >= MAX_IN_FLIGHT;
        if full {
            self.wait_for_first();
        }
        self.driver.begin(label).map_err(|what| Error::Device { label: label.into(), what })
    }

    /// Commits a command buffer. The caller must hold the commit lock.
    pub(super) fn commit(&self, commands: D::Commands, label: Arc<str>, on_end: OnEnd) {
        let commands = Arc::new(self.driver.commit(commands));
        let state = &mut *lock(&self.state);
        state.committed += 1;
        state.under_way.push_back(Flight { number: state.committed, commands, label, on_end });
    }

    /// Waits until every command buffer up to `number` has ended, even if another thread is about to commit it. A
    /// caller that holds the commit lock or a buffer's lock would deadlock.
    pub(super) fn wait_for(&self, number: u64) {
        if number > self.committed() {
            drop(self.commit_lock());
        }
        self.wait_for_committed(number);
    }

    /// Waits until every committed command buffer up to `number` has ended.
    pub(super) fn wait_for_committed(&self, number: u64) {
        while self.first_under_way().is_some_and(|first| first <= number) {
            self.wait_for_first();
        }
    }

    /// Returns a failure that was not yet reported, if any.
    pub(super) fn check(&self) -> Result<()> {
        let state = &mut *lock(&self.state);
        let failure = state.failures.iter().find(|failure| failure.number > state.told).cloned();
        state.outcome(failure)
    }

    /// Returns a failure of the command buffers after `since` up to `number`, reported or not.
    pub(super) fn check_between(&self, since: u64, number: u64) -> Result<()> {
        let state = &mut *lock(&self.state);
        let within = |failure: &&Failure| failure.number > since && failure.number <= number;
        let failure = state.failures.iter().find(within).cloned();
        state.outcome(failure)
    }

    fn first_under_way(&self) -> Option<u64> {
        lock(&self.state).under_way.front().map(|flight| flight.number)
    }

    /// Waits for the first command buffer in flight, and records its outcome. Several threads may call it at once.
    fn wait_for_first(&self) {
        let first = lock(&self.state).under_way.front().map(|flight| (flight.number, flight.commands.clone()));
        let Some((number, commands)) = first else { return };
        let outcome = self.driver.wait(&commands);
        let ended = {
            let state = &mut *lock(&self.state);
            let first = state.under_way.front().is_some_and(|flight| flight.number == number);
            first.then(|| state.under_way.pop_front()).flatten().map(|flight| state.end(flight, outcome))
        };
        if let Some((on_end, seconds)) = ended {
            on_end(seconds);
        }
    }
}

impl<D: Driver> State<D> {
    fn end(&mut self, flight: Flight<D>, outcome: Outcome) -> (OnEnd, Option<f64>) {
        let Flight { number, label, on_end, .. } = flight;
        self.ended = number;
        let seconds = outcome.error.is_none().then_some(outcome.seconds.max(0.0));
        self.failures.extend(outcome.error.map(|what| Failure { number, label, what }));
        (on_end, seconds)
    }

    fn outcome(&mut self, failure: Option<Failure>) -> Result<()> {
        let Some(failure) = failure else { return Ok(()) };
        self.told = self.told.max(failure.number);
        Err(failure.error())
    }
}

impl<D: Driver> Drop for Queue<D> {
    fn drop(&mut self) {
        self.wait_for_committed(u64::MAX);
    }
}
