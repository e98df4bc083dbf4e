//! A device that answers late, and what polls it by hand.

use std::{
    future::{Future, poll_fn},
    ops::Range,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bimetal::{
    Backend, Result,
    low_level::compute::{
        caps::{Caps, DeviceKind},
        cpu::Cpu,
        memory::{BufferId, Memory, Pending},
        pass::{Pass, Program},
    },
};

/// The host's memory, behind a device whose reads arrive when [`Late::answer`] is called, and not before.
pub struct Late {
    inner: Cpu,
    caps: Caps,
    reads: Arc<Mutex<Reads>>,
}

#[derive(Default)]
struct Reads {
    asked: u64,
    answered: u64,
    wakers: Vec<Waker>,
}

impl Late {
    /// `kind` decides whether an engine looks ahead.
    pub fn new(kind: DeviceKind) -> Self {
        let inner = Cpu::new(1);
        let caps = Caps { kind, ..inner.caps().clone() };
        Self { inner, caps, reads: Arc::default() }
    }

    /// Lets the oldest read arrive that has not yet.
    pub fn answer(&self) {
        let wakers = {
            let reads = &mut *self.reads.lock().unwrap();
            assert!(reads.answered < reads.asked, "nothing was asked");
            reads.answered += 1;
            std::mem::take(&mut reads.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Memory for Late {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.inner.alloc(bytes, label)
    }
    fn free(&self, id: BufferId) {
        self.inner.free(id);
    }
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.inner.write(id, at, data)
    }
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        let (mut bytes, reads) = (self.inner.read(id, range), self.reads.clone());
        let number = {
            let reads = &mut *reads.lock().unwrap();
            reads.asked += 1;
            reads.asked
        };
        Box::pin(poll_fn(move |context| {
            let reads = &mut *reads.lock().unwrap();
            if reads.answered < number {
                reads.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            bytes.as_mut().poll(context)
        }))
    }
}

impl Backend for Late {
    fn caps(&self) -> &Caps {
        &self.caps
    }
    fn load(&self, pass: Pass) -> Result<Program> {
        self.inner.load(pass)
    }
    fn run(&self, program: &Program) -> Result<()> {
        self.inner.run(program)
    }
    fn wait(&self) -> Result<()> {
        panic!("an engine waits for nothing but what it reads")
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future, polled by hand: how often it was pending, and its result. The device answers after the second poll of each
/// wait, and then the future has been woken.
pub fn polled<T>(late: &Late, future: impl Future<Output = T>) -> (usize, T) {
    let (woken, mut waits) = (Arc::new(Woken::default()), 0);
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
    loop {
        if let Poll::Ready(output) = poll() {
            return (waits, output);
        }
        assert!(poll().is_pending(), "nothing has arrived");
        let before = woken.0.load(Ordering::Relaxed);
        late.answer();
        assert!(woken.0.load(Ordering::Relaxed) > before, "nobody was woken");
        waits += 1;
    }
}
