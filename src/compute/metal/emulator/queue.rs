//! The emulated device's queue: command buffers in order, the workgroups of a dispatch on all cores.
#![allow(unsafe_code)]

use std::{
    cell::RefCell,
    ffi::c_void,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
    time::Instant,
};

use rayon::prelude::*;

use super::{
    Order,
    kernel::Kernel,
    runtime::{Buffers, Groups, Runtime, Worker},
};
use crate::compute::{lock::lock, metal::driver::Outcome};

/// Minimum lanes that justify waking another thread.
const SHARE: u64 = 512;

/// The memory bound to a buffer number.
pub(super) type Binding = Arc<Buffers>;

/// One dispatch.
pub(super) struct QueuedDispatch {
    pub(super) kernel: Option<Arc<Kernel>>,
    pub(super) bindings: Vec<Option<Binding>>,
    pub(super) grid: [u32; 3],
    pub(super) lanes: u32,
    /// Whether it starts after all earlier ones have ended.
    pub(super) barrier: bool,
}

/// The outcome of a command buffer, after it has ended.
#[derive(Default)]
pub(super) struct Ticket {
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
}

impl Ticket {
    pub(super) fn wait(&self) -> Outcome {
        let outcome = lock(&self.outcome);
        let ended = self.ended.wait_while(outcome, |outcome| outcome.is_none());
        ended.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    fn end(&self, outcome: Outcome) {
        *lock(&self.outcome) = Some(outcome);
        self.ended.notify_all();
    }
}

/// A thread that runs command buffers.
pub(super) struct Queue {
    work: Sender<(Vec<QueuedDispatch>, Arc<Ticket>)>,
}

impl Queue {
    pub(super) fn new(runtime: Arc<Runtime>, order: Order) -> Self {
        let (work, received) = channel::<(Vec<QueuedDispatch>, Arc<Ticket>)>();
        // Ends when the sender is dropped.
        thread::spawn(move || {
            for (dispatches, ticket) in received {
                let start = Instant::now();
                let error = run(&runtime, order, &dispatches).err();
                drop(dispatches);
                ticket.end(Outcome { seconds: start.elapsed().as_secs_f64(), error });
            }
        });
        Self { work }
    }

    pub(super) fn commit(&self, dispatches: Vec<QueuedDispatch>) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        if self.work.send((dispatches, ticket.clone())).is_err() {
            ticket.end(Outcome { seconds: 0.0, error: Some("the emulator's thread has ended".into()) });
        }
        ticket
    }
}

/// Writes bytes to memory that is not yet shared.
pub(super) fn fill(memory: &Buffers, bytes: &[u8]) {
    // SAFETY: the memory has this size, and no shader uses it yet.
    unsafe { memory.start().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
}

/// Runs dispatches, up to the first that fails.
fn run(runtime: &Arc<Runtime>, order: Order, dispatches: &[QueuedDispatch]) -> Result<(), String> {
    let mut rest = dispatches;
    while !rest.is_empty() {
        let end = rest.iter().skip(1).position(|dispatch| dispatch.barrier).map_or(rest.len(), |at| at + 1);
        let (together, after) = rest.split_at(end);
        match order {
            Order::Alternating => together.iter().try_for_each(|dispatch| dispatch.run(runtime, order))?,
            Order::Opposite => together.iter().rev().try_for_each(|dispatch| dispatch.run(runtime, order))?,
        }
        rest = after;
    }
    Ok(())
}

impl QueuedDispatch {
    fn run(&self, runtime: &Arc<Runtime>, order: Order) -> Result<(), String> {
        let kernel = self.kernel.as_ref().ok_or("a dispatch without a pipeline")?;
        let refuse = |what: String| Err(format!("{}: {what}", kernel.label));
        if self.lanes != kernel.lanes {
            return refuse(format!("dispatched with {} lanes, compiled for {}", self.lanes, kernel.lanes));
        }
        let mut bound = Vec::new();
        for (at, name) in &kernel.buffers {
            let Some(memory) = self.bindings.get(*at).and_then(Option::as_ref) else {
                return refuse(format!("nothing is bound to buffer {at}, `{name}`"));
            };
            bound.push((name.as_str(), memory.start().as_ptr() as usize, memory.bytes() as usize));
        }
        let buffers: Vec<*mut c_void> = self
            .bindings
            .iter()
            .map(|b| b.as_ref().map_or(std::ptr::null_mut(), |m| m.start().as_ptr().cast()))
            .collect();
        let groups = Groups { entry: kernel.entry, buffers: &buffers, grid: self.grid, lanes: self.lanes };
        let count: u64 = self.grid.iter().map(|&n| u64::from(n)).product();
        let group = |at: u64| {
            let group = if order == Order::Alternating { at } else { count - 1 - at };
            let reversed = (group % 2 == 1) == (order == Order::Alternating);
            with_worker(runtime, |worker| worker.run(&groups, group, reversed).map_err(|r| r.of(kernel, &bound)))
        };
        let share = SHARE.div_ceil(u64::from(self.lanes)) as usize;
        if count < 2 * share as u64 {
            return (0..count).try_for_each(group);
        }
        (0..count as usize).into_par_iter().with_min_len(share).try_for_each(|at| group(at as u64))
    }
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Calls `call` with this thread's worker.
fn with_worker(runtime: &Arc<Runtime>, call: impl FnOnce(&Worker) -> Result<(), String>) -> Result<(), String> {
    WORKER.with_borrow_mut(|kept| {
        if !kept.as_ref().is_some_and(|worker| worker.is_of(runtime)) {
            *kept = Some(Worker::new(runtime).ok_or("too little memory for a thread of the emulator")?);
        }
        kept.as_ref().map_or(Ok(()), call)
    })
}
