//! Buffers: allocation, writes and reads.
//!
//! Host and device share all memory, so there is no staging: writes and reads copy directly. Each buffer tracks the
//! command buffers in flight that use it, and orders its accesses against them.

use std::{
    collections::HashMap,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use super::{driver::Driver, queue::Queue};
use crate::compute::lock::lock;
use crate::{
    compute::{
        caps::Caps,
        memory::{BufferId, Pending},
    },
    error::{Error, Result},
};

/// Maximum size of a buffer that moves to new memory when the host writes while the device reads. Then the host need
/// not wait: tables, step buffers.
const RENEWED: u64 = 1 << 20;

/// The buffers of one device.
pub(super) struct Buffers<D: Driver> {
    table: Mutex<Table<D>>,
    /// Bytes of all buffers, including scratch.
    used: Arc<AtomicU64>,
}

struct Table<D: Driver> {
    last: u32,
    by_id: HashMap<BufferId, Arc<Place<D>>>,
}

/// One buffer, and the command buffers that use it.
pub(super) struct Place<D: Driver> {
    queue: Arc<Queue<D>>,
    bytes: u64,
    label: String,
    used: Arc<AtomicU64>,
    state: Mutex<State<D>>,
}

struct State<D: Driver> {
    buffer: D::Buffer,
    /// The last command buffers that read it and that may write it.
    read: u64,
    written: u64,
    /// Readbacks that wait for the last write.
    asked: Vec<Weak<Answer>>,
}

/// The bytes of a pending readback.
struct Answer {
    range: Range<u64>,
    /// The command buffer to wait for, and the last that had ended at the time of the request.
    after: u64,
    since: u64,
    bytes: Mutex<Option<Result<Vec<u8>>>>,
}

impl<D: Driver> Buffers<D> {
    pub(super) fn new() -> Self {
        let table = Table { last: 0, by_id: HashMap::new() };
        Self { table: Mutex::new(table), used: Arc::default() }
    }

    pub(super) fn alloc(&self, queue: &Arc<Queue<D>>, bytes: u64, label: &str) -> Result<BufferId> {
        let place = self.place(queue, bytes, label)?;
        let table = &mut *lock(&self.table);
        table.last += 1;
        table.by_id.insert(BufferId(table.last), place);
        Ok(BufferId(table.last))
    }

    pub(super) fn free(&self, id: BufferId) {
        let freed = lock(&self.table).by_id.remove(&id);
        drop(freed);
    }

    pub(super) fn of(&self, id: BufferId) -> Arc<Place<D>> {
        lock(&self.table).by_id.get(&id).expect("a buffer in use is never freed").clone()
    }

    /// Allocates memory, within the device's largest buffer and its free memory.
    pub(super) fn place(&self, queue: &Arc<Queue<D>>, bytes: u64, label: &str) -> Result<Arc<Place<D>>> {
        queue.check()?;
        let caps = queue.driver.caps();
        let refused = |hint| Error::OutOfMemory { label: label.into(), bytes, hint };
        let max_bytes = caps.max_binding.min(caps.max_buffer);
        if bytes > max_bytes {
            return Err(refused(format!("; {} allows at most {max_bytes} bytes at once", caps.device)));
        }
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let new = || queue.driver.new_buffer(bytes.max(4), label);
        // The memory of freed buffers returns after the device has finished with them.
        let again = || {
            queue.wait_for(queue.committed());
            new()
        };
        let fits = caps.memory.is_none_or(|memory| used.saturating_add(bytes) <= memory);
        let Some(buffer) = fits.then(|| new().or_else(again)).flatten() else {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(refused(full(caps, used)));
        };
        let state = Mutex::new(State { buffer, read: 0, written: 0, asked: Vec::new() });
        Ok(Arc::new(Place { queue: queue.clone(), bytes, label: label.into(), used: self.used.clone(), state }))
    }
}

/// The memory limit and its use, as text.
fn full(caps: &Caps, used: u64) -> String {
    match caps.memory {
        Some(memory) => format!("; {} may use {memory} bytes, and {used} are in use", caps.device),
        None => format!("; {used} bytes are in use on {}", caps.device),
    }
}

impl<D: Driver> Place<D> {
    /// The buffer's memory, for the command buffer `number`. A write first completes the pending readbacks, which would
    /// otherwise lose their data.
    pub(super) fn used_by(&self, number: u64, writes: bool) -> D::Buffer {
        let state = &mut *lock(&self.state);
        if writes {
            self.answer_all(state);
            state.written = number;
        } else {
            state.read = number;
        }
        state.buffer.clone()
    }

    /// Copies bytes to the buffer; later command buffers see them.
    pub(super) fn write(&self, at: u64, data: &[u8]) -> Result<()> {
        assert!(at + data.len() as u64 <= self.bytes, "write of {} bytes at {at} into {}", data.len(), self.bytes);
        self.queue.check()?;
        let mut waited = 0;
        while let Err(last) = self.write_after(waited, at, data) {
            // Wait without the lock: a thread about to commit may need it.
            self.queue.wait_for(last);
            waited = last;
        }
        self.queue.check()
    }

    /// Writes at once if only command buffers up to `waited` use the buffer; otherwise returns the number to wait for.
    fn write_after(&self, waited: u64, at: u64, data: &[u8]) -> std::result::Result<(), u64> {
        let state = &mut *lock(&self.state);
        let ended = self.queue.ended().max(waited);
        if state.written > ended {
            return Err(state.read.max(state.written));
        }
        self.answer_all(state);
        if state.read > ended && !self.renew(state) {
            return Err(state.read);
        }
        copy_to(&*self.queue.driver, &state.buffer, at, data);
        Ok(())
    }

    /// Moves the contents to new memory that no command buffer uses. Fails for a large buffer, or without free memory.
    fn renew(&self, state: &mut State<D>) -> bool {
        let driver = &*self.queue.driver;
        let new = (self.bytes <= RENEWED).then(|| driver.new_buffer(self.bytes.max(4), &self.label)).flatten();
        let Some(buffer) = new else { return false };
        copy_to(driver, &buffer, 0, &copy_from(driver, &state.buffer, 0..self.bytes));
        (state.buffer, state.read) = (buffer, 0);
        true
    }

    /// Reads the bytes of a range as they are after all work submitted so far.
    pub(super) fn read(self: &Arc<Self>, range: Range<u64>) -> Pending {
        assert!(range.start <= range.end && range.end <= self.bytes, "read of {range:?} from {} bytes", self.bytes);
        if let Err(error) = self.queue.check() {
            return Box::pin(async { Err(error) });
        }
        let state = &mut *lock(&self.state);
        let (after, since) = (state.written, self.queue.ended());
        let answer = Arc::new(Answer { range, after, since, bytes: Mutex::default() });
        if after <= since {
            self.answer(&state.buffer, &answer);
        } else {
            state.asked.retain(|asked| asked.strong_count() > 0);
            state.asked.push(Arc::downgrade(&answer));
        }
        Box::pin(Reading { place: self.clone(), answer })
    }

    /// Completes all pending readbacks. Their command buffers are already committed.
    fn answer_all(&self, state: &mut State<D>) {
        for answer in state.asked.drain(..).filter_map(|asked| asked.upgrade()) {
            self.queue.wait_for_committed(answer.after);
            self.answer(&state.buffer, &answer);
        }
    }

    /// Copies the requested bytes, unless already done. The command buffer to wait for has ended.
    fn answer(&self, buffer: &D::Buffer, answer: &Answer) {
        let Answer { range, after, since, bytes } = answer;
        lock(bytes).get_or_insert_with(|| {
            let checked = self.queue.check_between(*since, *after);
            checked.map(|()| copy_from(&*self.queue.driver, buffer, range.clone()))
        });
    }
}

impl<D: Driver> Drop for Place<D> {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A readback in progress. Only a waiting thread drives the device, so this blocks.
struct Reading<D: Driver> {
    place: Arc<Place<D>>,
    answer: Arc<Answer>,
}

impl<D: Driver> Future for Reading<D> {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { place, answer } = &*self;
        if lock(&answer.bytes).is_none() {
            place.queue.wait_for(answer.after);
            place.answer(&lock(&place.state).buffer, answer);
        }
        let gone = || Err(Error::Device { label: "a read".into(), what: "it was awaited twice".into() });
        Poll::Ready(lock(&answer.bytes).take().unwrap_or_else(gone))
    }
}

#[allow(unsafe_code)]
fn copy_to<D: Driver>(driver: &D, buffer: &D::Buffer, at: u64, data: &[u8]) {
    // SAFETY: `Buffer::write` has checked that the buffer holds these bytes; no command buffer in flight uses it.
    unsafe {
        driver.contents(buffer).as_ptr().add(at as usize).copy_from_nonoverlapping(data.as_ptr(), data.len());
    }
}

#[allow(unsafe_code)]
fn copy_from<D: Driver>(driver: &D, buffer: &D::Buffer, range: Range<u64>) -> Vec<u8> {
    let length = (range.end - range.start) as usize;
    let mut bytes = Vec::with_capacity(length);
    // SAFETY: `Buffer::read` has checked that the buffer holds these bytes; no command buffer in flight writes it. The
    // copy initializes all bytes before the length is set; every byte value is valid.
    unsafe {
        let from = driver.contents(buffer).as_ptr().add(range.start as usize);
        from.copy_to_nonoverlapping(bytes.as_mut_ptr(), length);
        bytes.set_len(length);
    }
    bytes
}
