//! How long each launch of a program takes, by the device's own clock.

use std::time::Duration;

use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites,
    Features, MapMode, QUERY_RESOLVE_BUFFER_ALIGNMENT, QUERY_SET_MAX_QUERIES, QuerySet, QuerySetDescriptor, QueryType,
};

use super::{
    device::Device,
    program::{Launch, Prepared},
};
use crate::error::{Error, Result};

/// Launches between two looks at the clock's readings: each takes two.
const PORTION: usize = QUERY_SET_MAX_QUERIES as usize / 2;

/// Runs every launch as a pass of its own between two readings of the clock.
pub(super) fn time(device: &Device, program: &Prepared) -> Result<Option<Vec<Duration>>> {
    if !device.handle.features().contains(Features::TIMESTAMP_QUERY) {
        return Ok(None);
    }
    device.check()?;
    device.health.start(&program.label);
    let tick = f64::from(device.queue.get_timestamp_period()) * 1e-9;
    let mut times = Vec::new();
    for launches in program.launches.chunks(PORTION) {
        let readings = device.attempt(|| run(device, launches)).map_err(|refusal| refusal.during(&program.label))?;
        device.wait(None);
        device.check()?;
        let pairs = pairs(&readings, launches.len())?;
        times.extend(pairs.iter().map(|[from, to]| Duration::from_secs_f64(to.saturating_sub(*from) as f64 * tick)));
    }
    Ok(Some(times))
}

/// Submits the launches. The buffer is being mapped, and holds two readings for each once the device is done.
fn run(device: &Device, launches: &[Launch]) -> Buffer {
    let count = 2 * launches.len() as u32;
    let queries = device.handle.create_query_set(&QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count });
    let mut encoder = device.handle.create_command_encoder(&Default::default());
    for (launch, at) in launches.iter().zip((0..).step_by(2)) {
        let timestamp_writes = Some(ComputePassTimestampWrites {
            query_set: &queries,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        });
        launch.encode_alone(encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes }));
    }
    let readings = copy(device, &mut encoder, (&queries, count));
    device.submit(Some(encoder.finish()));
    readings.map_async(MapMode::Read, .., |_| {});
    readings
}

/// Encodes the way of readings into a buffer that the host can see.
fn copy(device: &Device, encoder: &mut CommandEncoder, (queries, count): (&QuerySet, u32)) -> Buffer {
    let size = (8 * u64::from(count)).next_multiple_of(QUERY_RESOLVE_BUFFER_ALIGNMENT);
    let new =
        |usage| device.handle.create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let resolved = new(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC);
    let readings = new(BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    encoder.resolve_query_set(queries, 0..count, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, &readings, 0, size);
    readings
}

/// Ticks before and after each launch.
fn pairs(readings: &Buffer, launches: usize) -> Result<Vec<[u64; 2]>> {
    let failed = |error: wgpu::MapRangeError| Error::Device { label: "a profile".into(), what: error.to_string() };
    let view = readings.get_mapped_range(..16 * launches as u64).map_err(failed)?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}
