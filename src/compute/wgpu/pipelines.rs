//! Compiled kernels, cached for the lifetime of the device: recordings of all sizes share most of them.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    path::Path,
    ptr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use web_time::Instant;
use wgpu::{
    BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, BufferBindingType, ComputePipeline,
    ComputePipelineDescriptor, PipelineCompilationOptions, PipelineLayoutDescriptor, ShaderModule,
    ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource, ShaderStages,
};

use super::{
    device::{Device, Refusal},
    pipeline_cache::PipelineCache,
    prelude,
};
use crate::compute::lock::lock;
use crate::{
    compute::{
        caps::Caps,
        kernel::{Dispatch, Kernel},
    },
    error::{Error, Result},
};

/// Every pipeline and layout of one device.
#[derive(Default)]
pub(super) struct Pipelines {
    compiled: Mutex<HashMap<Key, ComputePipeline>>,
    layouts: Mutex<HashMap<Shape, Layout>>,
    /// The driver's cache on disk, if enabled.
    kept: OnceLock<Option<PipelineCache>>,
}

/// A kernel, by its address (names outside this crate may repeat), and its prelude.
type Key = (usize, String);

/// The parameters of a layout: whether each binding is written, and whether a uniform follows.
type Shape = (Vec<bool>, bool);

/// The driver's layout of a kernel's bindings.
#[derive(Clone)]
pub(super) struct Layout {
    /// The bind group layout.
    pub(super) group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl Pipelines {
    /// Caches all later pipelines in a directory, for one set of shader texts. Only the first call has an effect.
    pub(super) fn keep(&self, device: &Device, directory: &Path, texts: u64) {
        self.kept.get_or_init(|| PipelineCache::open(device, directory, texts));
    }

    fn kept(&self) -> Option<&PipelineCache> {
        self.kept.get()?.as_ref()
    }

    /// The pipeline of each dispatch. Compiles missing ones on all available threads.
    pub(super) fn of(&self, device: &Device, caps: &Caps, dispatches: &[Dispatch]) -> Result<Vec<ComputePipeline>> {
        let key = |dispatch: &Dispatch| {
            let prelude = prelude::prelude(dispatch, caps)?;
            Ok((ptr::from_ref(dispatch.kernel).addr(), prelude))
        };
        let keys: Vec<Key> = dispatches.iter().map(key).collect::<Result<_>>()?;
        let missing: Vec<_> = {
            let (compiled, mut seen) = (lock(&self.compiled), HashSet::new());
            let pairs = keys.iter().zip(dispatches);
            pairs.filter(|(key, _)| !compiled.contains_key(*key) && seen.insert(*key)).collect()
        };
        let (new, started) = (missing.len(), Instant::now());
        let compiled = all(&missing, |(_, dispatch)| self.compile(device, caps, dispatch));
        for ((key, _), pipeline) in missing.into_iter().zip(compiled) {
            lock(&self.compiled).insert(key.clone(), pipeline?);
        }
        if new > 0 {
            log::debug!("{new} pipelines in {:.1?}", started.elapsed());
            self.kept().into_iter().for_each(PipelineCache::keep);
        }
        let compiled = lock(&self.compiled);
        Ok(keys.iter().map(|key| compiled[key].clone()).collect())
    }

    /// The layout of a kernel's bindings.
    pub(super) fn layout(&self, device: &Device, kernel: &Kernel) -> Layout {
        let writes = kernel.bindings.iter().map(|binding| binding.access.writes()).collect();
        let shape = (writes, !kernel.params.is_empty());
        lock(&self.layouts).entry(shape).or_insert_with_key(|shape| layout(device, shape)).clone()
    }

    fn compile(&self, device: &Device, caps: &Caps, dispatch: &Dispatch) -> Result<ComputePipeline> {
        let (kernel, text) = (dispatch.kernel, prelude::shader(dispatch, caps)?);
        let pipeline = device.attempt(&dispatch.label(), || {
            let layout = self.layout(device, kernel);
            let module = module(device, kernel, text);
            device.handle.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(kernel.name),
                layout: Some(&layout.pipeline),
                module: &module,
                entry_point: Some(kernel.name),
                // MSL does not zero workgroup memory either, so no kernel may rely on zeros.
                compilation_options: PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: self.kept().map(|kept| &kept.handle),
            })
        });
        pipeline.map_err(|refusal| Error::Shader {
            kernel: dispatch.label(),
            log: match refusal {
                Refusal::OutOfMemory => "out of memory".into(),
                Refusal::Other(log) => log,
            },
        })
    }
}

/// Builds a shader module. Indices and loops are checked at run time unless the kernel is proven. Checks cost a third
/// of the time: checked code is not unrolled, and its values stay in memory instead of registers.
#[allow(unsafe_code)]
fn module(device: &Device, kernel: &Kernel, text: String) -> ShaderModule {
    let descriptor = ShaderModuleDescriptor { label: Some(kernel.name), source: ShaderSource::Wgsl(text.into()) };
    if !kernel.source.proven {
        return device.handle.create_shader_module(descriptor);
    }
    // SAFETY: only texts of this crate are marked as proven. Their loops end; constants bound their indices of private
    // and workgroup memory; and the device bounds buffer accesses, because it is opened with robust access.
    unsafe { device.handle.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) }
}

fn layout(device: &Device, (writes, uniform): &Shape) -> Layout {
    let storage = writes.iter().map(|writes| (BufferBindingType::Storage { read_only: !writes }, false));
    let types = storage.chain(uniform.then_some((BufferBindingType::Uniform, true)));
    let entry = |(binding, (ty, has_dynamic_offset))| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let entries: Vec<_> = (0..).zip(types).map(entry).collect();
    let group = device.handle.create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries });
    let pipeline = device.handle.create_pipeline_layout(&PipelineLayoutDescriptor {
        bind_group_layouts: &[Some(&group)],
        ..Default::default()
    });
    Layout { group, pipeline }
}

/// Runs `work` on every item, on several threads for several items. Results are in order.
fn all<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len());
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let take = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            lock(&done).push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(take);
        }
        take();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
