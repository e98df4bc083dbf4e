//! Pass durations from the device's timestamps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites,
    Features, MapMode, QUERY_RESOLVE_BUFFER_ALIGNMENT, QUERY_SET_MAX_QUERIES, QuerySet, QuerySetDescriptor, QueryType,
};

use super::{
    device::Device,
    program::{Prepared, PreparedDispatch},
};
use crate::error::{Error, Result};

/// Dispatches per batch of timestamps: each needs two.
const PORTION: usize = QUERY_SET_MAX_QUERIES as usize / 2;

/// Runs every dispatch as a separate pass between two timestamps.
pub(super) fn time(device: &Device, program: &Prepared) -> Result<Option<Vec<Duration>>> {
    if !device.handle.features().contains(Features::TIMESTAMP_QUERY) {
        return Ok(None);
    }
    device.check()?;
    device.health.start(&program.label);
    let mut times = Vec::new();
    for dispatches in program.dispatches.chunks(PORTION) {
        let readings = device
            .attempt(&program.label, || run(device, dispatches))
            .map_err(|refusal| refusal.during(&program.label))?;
        device.wait(None);
        device.check()?;
        times.extend(readings.times(device)?);
    }
    Ok(Some(times))
}

/// Submits the dispatches and requests the timestamps.
fn run(device: &Device, dispatches: &[PreparedDispatch]) -> Readings {
    let readings = Readings::new(device, dispatches.len());
    let mut encoder = device.handle.create_command_encoder(&Default::default());
    for (at, dispatch) in dispatches.iter().enumerate() {
        dispatch.encode_alone(encoder.begin_compute_pass(&readings.around(at)));
    }
    readings.fetch(&mut encoder);
    device.submit(Some(encoder.finish()));
    readings.request();
    readings
}

/// Timestamps before and after each pass, and their copy to the host.
pub(super) struct Readings {
    queries: QuerySet,
    resolved: Buffer,
    visible: Buffer,
    passes: usize,
    arrived: Arc<AtomicBool>,
}

impl Readings {
    pub(super) fn new(device: &Device, passes: usize) -> Self {
        let count = 2 * passes as u32;
        let (label, ty) = (None, QueryType::Timestamp);
        let size = (8 * u64::from(count)).next_multiple_of(QUERY_RESOLVE_BUFFER_ALIGNMENT);
        let new =
            |usage| device.handle.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false });
        Self {
            queries: device.handle.create_query_set(&QuerySetDescriptor { label, ty, count }),
            resolved: new(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            visible: new(BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            passes,
            arrived: Arc::default(),
        }
    }

    /// Number of passes.
    pub(super) fn passes(&self) -> usize {
        self.passes
    }

    /// The descriptor of pass number `pass`, with its two timestamps.
    pub(super) fn around(&self, pass: usize) -> ComputePassDescriptor<'_> {
        let at = 2 * pass as u32;
        let timestamp_writes = Some(ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        });
        ComputePassDescriptor { label: None, timestamp_writes }
    }

    /// Encodes the copy of the timestamps to a host-visible buffer, after the last pass.
    pub(super) fn fetch(&self, encoder: &mut CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2 * self.passes as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.visible, 0, self.visible.size());
    }

    /// Requests the timestamps; call it after the last submission.
    pub(super) fn request(&self) {
        self.arrived.store(false, Ordering::Relaxed);
        let arrived = self.arrived.clone();
        self.visible.map_async(MapMode::Read, .., move |outcome| arrived.store(outcome.is_ok(), Ordering::Release));
    }

    /// Whether the timestamps have arrived.
    pub(super) fn arrived(&self) -> bool {
        self.arrived.load(Ordering::Acquire)
    }

    /// Duration of each pass; call it after the timestamps have arrived.
    pub(super) fn times(&self, device: &Device) -> Result<Vec<Duration>> {
        let failed = |error: wgpu::MapRangeError| Error::Device { label: "a profile".into(), what: error.to_string() };
        let view = self.visible.get_mapped_range(..16 * self.passes as u64).map_err(failed)?;
        let pairs: Vec<[u64; 2]> = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        self.visible.unmap();
        let tick = f64::from(device.queue.get_timestamp_period()) * 1e-9;
        let time = |[from, to]: &[u64; 2]| Duration::from_secs_f64(to.saturating_sub(*from) as f64 * tick);
        Ok(pairs.iter().map(time).collect())
    }
}
