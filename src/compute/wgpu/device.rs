//! An open device and its queue, wrapped so that driver faults cannot end the process.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use wgpu::{CommandBuffer, DeviceLostReason, ErrorFilter, PollType, SubmissionIndex};

use super::{
    error::{Health, message},
    late::LateAnswers,
};
use crate::error::Result;

/// A device, its queue, and their recorded failures.
pub(super) struct Device {
    pub(super) handle: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) health: Arc<Health>,
    late: LateAnswers,
    /// Number of submissions.
    pub(super) submissions: AtomicU64,
}

/// Why the device refused work.
pub(super) enum Refusal {
    /// Out of memory.
    OutOfMemory,
    /// Any other reason, in the driver's words.
    Other(String),
}

impl Device {
    /// Takes over a device and records its failures from now on.
    pub(super) fn new(handle: wgpu::Device, queue: wgpu::Queue) -> Self {
        let health = Arc::new(Health::default());
        let noted = health.clone();
        handle.on_uncaptured_error(Arc::new(move |error: wgpu::Error| noted.refused(error.to_string())));
        let noted = health.clone();
        handle.set_device_lost_callback(move |reason, what| {
            noted.lost(if reason == DeviceLostReason::Destroyed { "it was given up".into() } else { what });
        });
        Self { handle, queue, health, late: LateAnswers::default(), submissions: AtomicU64::new(0) }
    }

    /// Runs `work` on the device and catches its errors and panics; the driver's compilers are known to panic. A
    /// browser reports an error later: the next check or read gets it, with the label.
    pub(super) fn attempt<T>(&self, label: &str, work: impl FnOnce() -> T) -> std::result::Result<T, Refusal> {
        let filters = [ErrorFilter::OutOfMemory, ErrorFilter::Internal, ErrorFilter::Validation];
        let scopes = filters.map(|filter| self.handle.push_error_scope(filter));
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let answers: Vec<_> = scopes.into_iter().rev().map(|scope| scope.pop()).collect();
        let mut answer = Box::pin(async move {
            let mut first = None;
            for answer in answers {
                let error = answer.await;
                first = first.or(error);
            }
            first
        });
        let answered = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match (outcome, answered) {
            (Err(panic), _) => Err(Refusal::Other(message(&*panic))),
            (Ok(_), Poll::Ready(Some(wgpu::Error::OutOfMemory { .. }))) => Err(Refusal::OutOfMemory),
            (Ok(_), Poll::Ready(Some(error))) => Err(Refusal::Other(error.to_string())),
            (Ok(done), Poll::Ready(None)) => Ok(done),
            (Ok(done), Poll::Pending) => {
                self.late.keep(label, Box::pin(async move { answer.await.map(|error| error.to_string()) }));
                Ok(done)
            }
        }
    }

    /// Waits for late errors, so that they are known before any result is read.
    pub(super) fn poll_late(&self, context: &Context<'_>) -> Poll<()> {
        self.late.poll(context, |label, what| self.health.refused_work(label, what))
    }

    /// Submits commands to the device.
    pub(super) fn submit(&self, commands: Option<CommandBuffer>) -> SubmissionIndex {
        self.submissions.fetch_add(1, Ordering::Relaxed);
        self.queue.submit(commands)
    }

    /// Returns the recorded failure, if there is one, after giving the driver a chance to report it.
    pub(super) fn check(&self) -> Result<()> {
        self.poll(PollType::Poll);
        _ = self.late.look(|label, what| self.health.refused_work(label, what));
        self.health.check()
    }

    /// Waits until a submission, or everything submitted, has finished.
    pub(super) fn wait(&self, submission_index: Option<SubmissionIndex>) {
        self.poll(PollType::Wait { submission_index, timeout: None });
    }

    fn poll(&self, how: PollType) {
        if self.health.is_lost() {
            return;
        }
        // If the device is lost, wgpu panics here instead of returning an error.
        match catch_unwind(AssertUnwindSafe(|| self.handle.poll(how))) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.health.refused(error.to_string()),
            Err(panic) => self.health.lost(message(&*panic)),
        }
    }
}
