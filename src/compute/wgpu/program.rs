//! Prepared recordings: everything that a run needs and that stays the same between runs.

use std::{collections::HashMap, mem, sync::Arc};

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, BufferBinding, BufferSize, BufferUsages,
    ComputePass, SubmissionIndex,
};

use super::{
    Wgpu,
    device::{Device, Refusal},
    memory::{Copy, new_buffer},
    submission_plan::SubmissionPlan,
};
use crate::{
    compute::{kernel::Dispatch, memory::Resource, pass::Recorded},
    error::{Error, Result},
};

/// A program of this backend. It owns all its memory; dropping it frees the memory.
pub(super) struct Prepared {
    /// The program's name in errors.
    pub(super) label: Arc<str>,
    pub(super) dispatches: Vec<PreparedDispatch>,
    plan: SubmissionPlan,
}

pub(super) struct PreparedDispatch {
    pipeline: wgpu::ComputePipeline,
    group: BindGroup,
    /// Offset of its parameters in the uniform buffer; `None` without parameters.
    offset: Option<u32>,
    grid: [u32; 3],
}

impl Prepared {
    /// Prepares a finished recording.
    pub(super) fn new(backend: &Wgpu, recorded: &Recorded) -> Result<Self> {
        let (device, dispatches) = (&*backend.device, &recorded.dispatches);
        device.check()?;
        check_grids(device, dispatches)?;
        let pipelines = backend.pipelines.of(device, &backend.caps, dispatches)?;
        let new = |&bytes: &u64| new_buffer(device, &backend.caps, bytes, "scratch");
        let scratch = recorded.scratch.iter().map(new).collect::<Result<Vec<_>>>()?;
        let params = Params::new(device, dispatches)?;
        let mut groups = Groups { backend, params: &params, scratch: &scratch, known: HashMap::new() };
        let dispatches =
            dispatches.iter().zip(pipelines).zip(&params.offsets).map(|((dispatch, pipeline), &offset)| {
                Ok(PreparedDispatch { pipeline, group: groups.of(dispatch)?, offset, grid: dispatch.grid })
            });
        let dispatches = dispatches.collect::<Result<Vec<_>>>()?;
        let plan = SubmissionPlan::new(device, backend.caps.kind, (dispatches.len(), backend.submission));
        device.check()?;
        Ok(Self { label: recorded.label().into(), dispatches, plan })
    }

    /// Encodes and submits the program, in as many submissions as its plan requires. The last one includes the copies.
    pub(super) fn run(&self, device: &Device, copies: &[Copy]) -> Result<SubmissionIndex> {
        device.check()?;
        device.health.start(&self.label);
        let submitted = device.attempt(&self.label, || {
            let (submissions, readings) = self.plan.begin(device);
            let new_encoder = || device.handle.create_command_encoder(&Default::default());
            let mut encoder = new_encoder();
            for (number, submission) in submissions.iter().enumerate() {
                if number > 0 {
                    device.submit(Some(mem::replace(&mut encoder, new_encoder()).finish()));
                }
                let around = readings.as_ref().map(|readings| readings.around(number)).unwrap_or_default();
                encode(&self.dispatches[submission.clone()], encoder.begin_compute_pass(&around));
            }
            readings.iter().for_each(|readings| readings.fetch(&mut encoder));
            copies.iter().for_each(|copy| copy.encode(&mut encoder));
            let submission = device.submit(Some(encoder.finish()));
            readings.into_iter().for_each(|readings| self.plan.submitted(submissions.clone(), readings));
            submission
        });
        submitted.map_err(|refusal| refusal.during(&self.label))
    }
}

/// Encodes dispatches as one pass.
fn encode(dispatches: &[PreparedDispatch], mut pass: ComputePass<'_>) {
    let mut current = None;
    for dispatch in dispatches {
        if current != Some(&dispatch.pipeline) {
            pass.set_pipeline(&dispatch.pipeline);
            current = Some(&dispatch.pipeline);
        }
        dispatch.encode(&mut pass);
    }
}

impl PreparedDispatch {
    /// Encodes everything except the pipeline.
    fn encode(&self, pass: &mut ComputePass<'_>) {
        pass.set_bind_group(0, &self.group, self.offset.as_slice());
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }

    /// Encodes the dispatch as a whole pass.
    pub(super) fn encode_alone(&self, mut pass: ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        self.encode(&mut pass);
    }
}

fn check_grids(device: &Device, dispatches: &[Dispatch]) -> Result<()> {
    let max_groups = device.handle.limits().max_compute_workgroups_per_dimension;
    match dispatches.iter().find(|dispatch| dispatch.grid.iter().any(|&groups| groups > max_groups)) {
        None => Ok(()),
        Some(dispatch) => Err(Error::Device {
            label: dispatch.label(),
            what: format!("a grid of {:?} workgroups; this device allows {max_groups} per dimension", dispatch.grid),
        }),
    }
}

/// The dispatch constants of all dispatches, in one uniform buffer; equal ones share an offset.
struct Params {
    buffer: Option<wgpu::Buffer>,
    offsets: Vec<Option<u32>>,
}

impl Params {
    fn new(device: &Device, dispatches: &[Dispatch]) -> Result<Self> {
        let stride = device.handle.limits().min_uniform_buffer_offset_alignment as usize;
        let (mut bytes, mut places) = (Vec::new(), HashMap::new());
        let place = |dispatch: &Dispatch| {
            if dispatch.params.is_empty() {
                return None;
            }
            let offset = *places.entry(dispatch.params.clone()).or_insert_with(|| {
                let offset = bytes.len();
                bytes.extend_from_slice(bytemuck::cast_slice(&dispatch.params));
                bytes.resize((offset + window(dispatch)).next_multiple_of(stride), 0_u8);
                offset as u32
            });
            Some(offset)
        };
        let offsets = dispatches.iter().map(place).collect();
        if bytes.is_empty() {
            return Ok(Self { buffer: None, offsets });
        }
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let size = bytes.len() as u64;
        let descriptor = wgpu::BufferDescriptor { label: Some("params"), size, usage, mapped_at_creation: false };
        let buffer = device.attempt("params", || {
            let buffer = device.handle.create_buffer(&descriptor);
            device.queue.write_buffer(&buffer, 0, &bytes);
            buffer
        });
        let buffer = buffer.map_err(|refusal| match refusal {
            Refusal::OutOfMemory => Error::OutOfMemory { label: "params".into(), bytes: size, hint: String::new() },
            other => other.during("preparing a program"),
        })?;
        Ok(Self { buffer: Some(buffer), offsets })
    }
}

/// Bytes of the uniform that a dispatch binds.
fn window(dispatch: &Dispatch) -> usize {
    size_of_val(&*dispatch.params).next_multiple_of(16)
}

/// Bind groups of one program; dispatches with the same buffers and layout share one.
struct Groups<'a> {
    backend: &'a Wgpu,
    params: &'a Params,
    scratch: &'a [wgpu::Buffer],
    known: HashMap<(wgpu::BindGroupLayout, Vec<wgpu::Buffer>, usize), BindGroup>,
}

impl Groups<'_> {
    fn of(&mut self, dispatch: &Dispatch) -> Result<BindGroup> {
        let device = &*self.backend.device;
        let layout = self.backend.pipelines.layout(device, dispatch.kernel).group;
        let place = |resource: &Resource| match resource {
            Resource::Buffer(buffer) => self.backend.memory.buffer(buffer.id()),
            Resource::Scratch(number) => self.scratch[*number as usize].clone(),
        };
        let buffers: Vec<_> = dispatch.resources.iter().map(place).collect();
        let key = (layout, buffers, window(dispatch));
        if let Some(group) = self.known.get(&key) {
            return Ok(group.clone());
        }
        let (layout, buffers, window) = &key;
        let uniform = self.params.buffer.as_ref().zip(BufferSize::new(*window as u64));
        let uniform = uniform.map(|(buffer, size)| BufferBinding { buffer, offset: 0, size: Some(size) });
        let storage = buffers.iter().map(wgpu::Buffer::as_entire_buffer_binding).chain(uniform);
        let entry = |(binding, buffer)| BindGroupEntry { binding, resource: BindingResource::Buffer(buffer) };
        let entries: Vec<_> = (0..).zip(storage).map(entry).collect();
        let descriptor = BindGroupDescriptor { label: Some(dispatch.kernel.name), layout, entries: &entries };
        let group = device.attempt(&dispatch.label(), || device.handle.create_bind_group(&descriptor));
        let group = group.map_err(|refusal| refusal.during(&dispatch.label()))?;
        self.known.insert(key, group.clone());
        Ok(group)
    }
}
