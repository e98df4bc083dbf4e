//! Device errors that arrive late: a browser reports them asynchronously.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use crate::compute::lock::lock;

/// A future error message about some work; `None` if the work succeeded.
pub(super) type Answer = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Answers that have not arrived yet.
#[derive(Default)]
pub(super) struct LateAnswers {
    waiting: Mutex<Vec<(Arc<str>, Answer)>>,
    readers: Arc<Readers>,
}

/// The tasks that wait for answers. Every answer must wake all of them; a future alone wakes only the last task.
#[derive(Default)]
struct Readers(Mutex<Vec<Waker>>);

impl Readers {
    fn add(&self, reader: &Waker) {
        let readers = &mut *lock(&self.0);
        if !readers.iter().any(|known| known.will_wake(reader)) {
            readers.push(reader.clone());
        }
    }
}

impl Wake for Readers {
    fn wake(self: Arc<Self>) {
        mem::take(&mut *lock(&self.0)).into_iter().for_each(Waker::wake);
    }
}

impl LateAnswers {
    /// Stores a pending answer about the work `label`.
    pub(super) fn keep(&self, label: &str, answer: Answer) {
        lock(&self.waiting).push((label.into(), answer));
    }

    /// Passes newly arrived errors to `refused`, with their label. Ready when no answer is pending.
    pub(super) fn look(&self, mut refused: impl FnMut(&Arc<str>, String)) -> Poll<()> {
        let waker = Waker::from(self.readers.clone());
        let mut context = Context::from_waker(&waker);
        let waiting = &mut *lock(&self.waiting);
        waiting.retain_mut(|(label, answer)| match answer.as_mut().poll(&mut context) {
            Poll::Ready(what) => {
                what.into_iter().for_each(|what| refused(label, what));
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// [`LateAnswers::look`] for a waiting task, which the next answer wakes.
    pub(super) fn poll(&self, context: &Context<'_>, refused: impl FnMut(&Arc<str>, String)) -> Poll<()> {
        if lock(&self.waiting).is_empty() {
            return Poll::Ready(());
        }
        self.readers.add(context.waker());
        self.look(refused)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll, Wake, Waker},
    };

    use super::{Answer, LateAnswers, Mutex, lock};

    /// An answer that the test gives.
    #[derive(Clone, Default)]
    struct Later(Arc<Mutex<Said>>);

    #[derive(Default)]
    struct Said {
        answer: Option<Option<String>>,
        waker: Option<Waker>,
    }

    impl Later {
        fn answer(&self) -> Answer {
            let shared = self.0.clone();
            Box::pin(poll_fn(move |context| {
                let said = &mut *lock(&shared);
                said.waker = Some(context.waker().clone());
                said.answer.take().map_or(Poll::Pending, Poll::Ready)
            }))
        }

        fn say(&self, what: Option<&str>) {
            let said = &mut *lock(&self.0);
            said.answer = Some(what.map(str::to_owned));
            said.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_reader_waits_for_every_answer() {
        let (late, [first, second]) = (LateAnswers::default(), [Later::default(), Later::default()]);
        late.keep("first", first.answer());
        late.keep("second", second.answer());
        let (counts, mut told) = ([Arc::new(Count::default()), Arc::new(Count::default())], Vec::new());
        let wakers = counts.clone().map(Waker::from);
        let mut poll = |reader: usize| {
            late.poll(&Context::from_waker(&wakers[reader]), |label, what| told.push(format!("{label}: {what}")))
        };
        assert!(poll(0).is_pending() && poll(1).is_pending());
        first.say(None);
        let woken = || counts.clone().map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken(), [1, 1], "both, though the second asked last");
        assert!(poll(0).is_pending());
        // A caller looks without waiting.
        assert!(late.look(|label, _| panic!("{label}")).is_pending());
        second.say(Some("no"));
        assert_eq!(woken()[0], 2);
        assert!(poll(0).is_ready());
        assert_eq!(told, ["second: no"]);
    }
}
