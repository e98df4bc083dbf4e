//! Buffers: allocation, writes and reads.

use std::{
    collections::HashMap,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use wgpu::{BufferDescriptor, BufferUsages, COPY_BUFFER_ALIGNMENT, CommandEncoder, MapMode, SubmissionIndex};

use super::device::{Device, Refusal};
use crate::{
    compute::{
        caps::Caps,
        lock::lock,
        memory::{BufferId, Pending},
    },
    error::{Error, Result},
};

/// Maximum bytes in the host's staging memory: later writes wait for earlier ones.
const STAGED: u64 = 32 << 20;

/// Maximum size of a cached readback buffer: step results are read again and again.
const KEPT_BYTES: u64 = 4 << 20;
const KEPT_BUFFERS: usize = 8;

/// The buffers of one device.
#[derive(Default)]
pub(super) struct Buffers {
    table: Mutex<Table>,
    staged: Mutex<Staged>,
    readback: Arc<Readback>,
}

#[derive(Default)]
struct Table {
    last: u32,
    by_id: HashMap<BufferId, wgpu::Buffer>,
}

/// Bytes written since the last flush, and the submission of that flush.
#[derive(Default)]
struct Staged {
    bytes: u64,
    flushed: Option<SubmissionIndex>,
}

/// Idle buffers that the host can map.
#[derive(Default)]
struct Readback(Mutex<Vec<wgpu::Buffer>>);

impl Buffers {
    pub(super) fn alloc(&self, device: &Device, caps: &Caps, bytes: u64, label: &str) -> Result<BufferId> {
        let buffer = new_buffer(device, caps, bytes, label)?;
        let table = &mut *lock(&self.table);
        table.last += 1;
        table.by_id.insert(BufferId(table.last), buffer);
        Ok(BufferId(table.last))
    }

    pub(super) fn free(&self, id: BufferId) {
        lock(&self.table).by_id.remove(&id);
    }

    pub(super) fn buffer(&self, id: BufferId) -> wgpu::Buffer {
        lock(&self.table).by_id.get(&id).expect("a buffer in use is never freed").clone()
    }

    pub(super) fn write(&self, device: &Device, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        device.check()?;
        let buffer = self.buffer(id);
        for (chunk, at) in data.chunks(STAGED as usize).zip((at..).step_by(STAGED as usize)) {
            let written = device.attempt("a write", || device.queue.write_buffer(&buffer, at, chunk));
            written.map_err(|refusal| refusal.during("a write"))?;
            self.staged(device, chunk.len() as u64);
        }
        if data.len() as u64 >= STAGED { device.check() } else { Ok(()) }
    }

    /// Counts staged bytes. Above the limit, flushes them and waits for the previous flush.
    fn staged(&self, device: &Device, bytes: u64) {
        let staged = &mut *lock(&self.staged);
        staged.bytes += bytes;
        if staged.bytes >= STAGED {
            staged.bytes = 0;
            if let Some(earlier) = staged.flushed.replace(device.submit(None)) {
                device.wait(Some(earlier));
            }
        }
    }

    /// Submits the copy immediately, so the result shows the current contents.
    pub(super) fn read(&self, device: &Arc<Device>, id: BufferId, range: Range<u64>) -> Pending {
        match self.start_read(device, id, range) {
            Ok(reading) => Box::pin(reading),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn start_read(&self, device: &Arc<Device>, id: BufferId, range: Range<u64>) -> Result<Reading> {
        let copy = self.copy(device, id, range)?;
        let submission = device.attempt("a read", || {
            let mut encoder = device.handle.create_command_encoder(&Default::default());
            copy.encode(&mut encoder);
            device.submit(Some(encoder.finish()))
        });
        let submission = submission.map_err(|refusal| refusal.during("a read"))?;
        Ok(self.reading(device, copy, submission))
    }

    /// Prepares a copy of these bytes to a host-visible buffer.
    pub(super) fn copy(&self, device: &Device, id: BufferId, range: Range<u64>) -> Result<Copy> {
        device.check()?;
        let start = range.start / COPY_BUFFER_ALIGNMENT * COPY_BUFFER_ALIGNMENT;
        let end = range.end.next_multiple_of(COPY_BUFFER_ALIGNMENT).max(start + COPY_BUFFER_ALIGNMENT);
        let source = self.buffer(id);
        let end = end.min(source.size());
        let staging = self.readback.take(device, end - start)?;
        let cut = (range.start - start) as usize..(range.end - start) as usize;
        Ok(Copy { source, range: start..end, staging, cut })
    }

    /// The readback of a submitted copy.
    pub(super) fn reading(&self, device: &Arc<Device>, copy: Copy, submission: SubmissionIndex) -> Reading {
        let Copy { range, staging, cut, .. } = copy;
        let mapped = Arc::new(Mutex::new(Mapped::default()));
        let done = mapped.clone();
        staging.map_async(MapMode::Read, 0..range.end - range.start, move |outcome| {
            let mapped = &mut *lock(&done);
            mapped.outcome = Some(outcome.map_err(|error| error.to_string()));
            mapped.waker.take().into_iter().for_each(Waker::wake);
        });
        Reading { device: device.clone(), readback: self.readback.clone(), staging, cut, submission, mapped }
    }
}

/// A copy of bytes from a buffer to a mappable one.
pub(super) struct Copy {
    source: wgpu::Buffer,
    range: Range<u64>,
    staging: wgpu::Buffer,
    /// The requested range of the staging buffer.
    cut: Range<usize>,
}

impl Copy {
    /// Encodes the copy.
    pub(super) fn encode(&self, encoder: &mut CommandEncoder) {
        let Range { start, end } = self.range;
        encoder.copy_buffer_to_buffer(&self.source, start, &self.staging, 0, end - start);
    }
}

/// A buffer for kernels, of a size that a kernel can bind.
pub(super) fn new_buffer(device: &Device, caps: &Caps, bytes: u64, label: &str) -> Result<wgpu::Buffer> {
    let refused = |hint: String| Error::OutOfMemory { label: label.into(), bytes, hint };
    let max_bytes = caps.max_binding.min(caps.max_buffer);
    if bytes > max_bytes {
        return Err(refused(format!("; {} allows at most {max_bytes} bytes at once", caps.device)));
    }
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    let new = || {
        let descriptor = BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false };
        device.attempt(label, || device.handle.create_buffer(&descriptor))
    };
    device.check()?;
    // The memory of freed buffers returns only after the device has finished with them.
    let buffer = new().or_else(|refusal| match refusal {
        Refusal::OutOfMemory => {
            device.wait(None);
            new()
        }
        other => Err(other),
    });
    let buffer = buffer.map_err(|refusal| match refusal {
        Refusal::OutOfMemory => refused(match caps.memory {
            Some(memory) => format!("; {} has {memory} bytes in total", caps.device),
            None => String::new(),
        }),
        other => other.during(label),
    })?;
    device.check()?;
    Ok(buffer)
}

impl Readback {
    fn take(&self, device: &Device, bytes: u64) -> Result<wgpu::Buffer> {
        let size = if bytes <= KEPT_BYTES { bytes.next_power_of_two().max(256) } else { bytes };
        let idle = &mut *lock(&self.0);
        if let Some(at) = idle.iter().position(|buffer| buffer.size() == size) {
            return Ok(idle.swap_remove(at));
        }
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let descriptor = BufferDescriptor { label: Some("readback"), size, usage, mapped_at_creation: false };
        device.attempt("readback", || device.handle.create_buffer(&descriptor)).map_err(|refusal| match refusal {
            Refusal::OutOfMemory => Error::OutOfMemory { label: "readback".into(), bytes, hint: String::new() },
            other => other.during("a read"),
        })
    }

    fn give(&self, buffer: wgpu::Buffer) {
        let idle = &mut *lock(&self.0);
        if buffer.size() <= KEPT_BYTES && idle.len() < KEPT_BUFFERS {
            buffer.unmap();
            idle.push(buffer);
        }
    }
}

/// A readback in progress.
pub(super) struct Reading {
    device: Arc<Device>,
    readback: Arc<Readback>,
    staging: wgpu::Buffer,
    /// The requested range of the staging buffer.
    cut: Range<usize>,
    submission: SubmissionIndex,
    mapped: Arc<Mutex<Mapped>>,
}

#[derive(Default)]
struct Mapped {
    outcome: Option<std::result::Result<(), String>>,
    waker: Option<Waker>,
}

impl Reading {
    fn finish(&self, outcome: std::result::Result<(), String>) -> Result<Vec<u8>> {
        self.device.health.check()?;
        let failed = |what: String| Error::Device { label: "a read".into(), what };
        outcome.map_err(failed)?;
        let view = self.staging.get_mapped_range(..self.cut.end as u64).map_err(|error| failed(error.to_string()))?;
        let bytes = view[self.cut.clone()].to_vec();
        drop(view);
        self.readback.give(self.staging.clone());
        Ok(bytes)
    }
}

impl Future for Reading {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let take = || {
            let mapped = &mut *lock(&self.mapped);
            let outcome = mapped.outcome.take();
            if outcome.is_none() {
                mapped.waker = Some(context.waker().clone());
            }
            outcome
        };
        // In a browser, report errors of earlier work before its results.
        if self.device.poll_late(context).is_pending() {
            return Poll::Pending;
        }
        if let Some(outcome) = take() {
            return Poll::Ready(self.finish(outcome));
        }
        // A browser runs the callback itself. Elsewhere only a waiting thread drives the device, so this blocks.
        if cfg!(target_arch = "wasm32") {
            return Poll::Pending;
        }
        self.device.wait(Some(self.submission.clone()));
        match (take(), self.device.health.check()) {
            (Some(outcome), _) => Poll::Ready(self.finish(outcome)),
            (None, Err(error)) => Poll::Ready(Err(error)),
            // Another waiting thread already holds the callback and will wake this task.
            (None, Ok(())) => Poll::Pending,
        }
    }
}
