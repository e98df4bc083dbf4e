//! The devices that wgpu finds, what each can do, and opening one.

use wgpu::{CooperativeScalarType, DeviceType, ExperimentalFeatures, Features, Limits};

use super::{Restrict, instance};
use crate::{
    compute::{
        backend::Backend,
        caps::{Caps, DeviceKind, Tiles},
        cpu::Cpu,
    },
    error::{Error, Result},
};

/// A device that wgpu found and that may be opened.
pub struct Adapter {
    handle: wgpu::Adapter,
    caps: Caps,
}

impl Adapter {
    /// Every device that wgpu finds, in the drivers' order. A machine without any graphics driver has none.
    pub(super) async fn all() -> Vec<Self> {
        let Some(instance) = instance::open() else { return Vec::new() };
        let handles = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
        handles.into_iter().map(|handle| Self { caps: caps(&handle, Restrict::default()), handle }).collect()
    }

    /// What it can do when nothing is kept from it.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The features that this crate knows how to use and that it offers, in words.
    pub fn features(&self) -> Vec<&'static str> {
        let known = [
            (Features::SHADER_F16, "half precision"),
            (Features::SUBGROUP, "subgroups"),
            (Features::TIMESTAMP_QUERY, "timestamps"),
            (Features::PIPELINE_CACHE, "kept pipelines"),
            (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "matrix units"),
        ];
        let offered = self.handle.features();
        known.into_iter().filter(|(feature, _)| offered.contains(*feature)).map(|(_, name)| name).collect()
    }

    /// A device on it with everything that it offers and `restrict` leaves.
    pub(super) async fn open(&self, restrict: Restrict) -> Result<(wgpu::Device, wgpu::Queue, Caps)> {
        let caps = caps(&self.handle, restrict);
        let request = self.handle.request_device(&wgpu::DeviceDescriptor {
            label: Some("bimetal"),
            required_features: features(&self.handle, restrict),
            required_limits: limits(&self.handle, restrict),
            experimental_features: experimental(),
            ..Default::default()
        });
        let (device, queue) = request
            .await
            .map_err(|error| Error::NoBackend { reasons: vec![(self.caps.device.clone(), error.to_string())] })?;
        Ok((device, queue, caps))
    }
}

/// Leave to use matrix units, which wgpu counts among its experiments.
#[allow(unsafe_code)]
fn experimental() -> ExperimentalFeatures {
    // SAFETY: only cooperative matrices are used of them, with shaders of this crate whose loads and stores stay inside
    // their arrays.
    unsafe { ExperimentalFeatures::enabled() }
}

/// The larger of the squares that the device multiplies, f16 by f16 with f32 sums, by subgroups of one known width.
fn matrix_units(adapter: &wgpu::Adapter, features: Features) -> Option<u32> {
    let info = adapter.get_info();
    if !features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16 | Features::SUBGROUP)
        || info.subgroup_min_size != info.subgroup_max_size
    {
        return None;
    }
    let kinds = adapter.cooperative_matrix_properties().into_iter();
    let square = kinds.filter(|kind| kind.m_size == kind.n_size && kind.n_size == kind.k_size);
    let halves =
        square.filter(|kind| (kind.ab_type, kind.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32));
    halves.map(|kind| kind.m_size).max()
}

fn features(adapter: &wgpu::Adapter, restrict: Restrict) -> Features {
    let mut wanted = Features::TIMESTAMP_QUERY | Features::PIPELINE_CACHE;
    wanted.set(Features::SHADER_F16, !restrict.half);
    wanted.set(Features::SUBGROUP, !restrict.subgroup);
    wanted.set(Features::EXPERIMENTAL_COOPERATIVE_MATRIX, !restrict.half && !restrict.subgroup);
    wanted & adapter.features()
}

fn limits(adapter: &wgpu::Adapter, restrict: Restrict) -> Limits {
    let mut limits = adapter.limits();
    if restrict.limits {
        limits = Limits::defaults().or_worse_values_from(&limits);
    }
    if let Some(most) = restrict.max_binding {
        limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(most);
    }
    limits
}

fn caps(adapter: &wgpu::Adapter, restrict: Restrict) -> Caps {
    let info = adapter.get_info();
    let (features, limits, kind) = (features(adapter, restrict), limits(adapter, restrict), kind(info.device_type));
    let subgroup = [info.subgroup_min_size, info.subgroup_max_size];
    Caps {
        backend: "wgpu",
        device: info.name.clone(),
        driver: format!("{:?} {} {}", info.backend, info.driver, info.driver_info).trim().into(),
        kind,
        memory: memory(adapter, kind),
        max_binding: limits.max_storage_buffer_binding_size,
        max_buffer: limits.max_buffer_size,
        group_memory: limits.max_compute_workgroup_storage_size,
        subgroup: features.contains(Features::SUBGROUP).then_some(subgroup),
        half: features.contains(Features::SHADER_F16),
        matrix_units: matrix_units(adapter, features),
        packed_dots: packed_dots(&info, features),
        lanes: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
        tiles: Tiles::of(kind),
    }
}

/// wgpu does not say whether the driver has instructions for it; GPUs of the last ten years do where these interfaces lead to
/// them, and Apple's have none.
fn packed_dots(info: &wgpu::AdapterInfo, features: Features) -> bool {
    let direct = matches!(info.backend, wgpu::Backend::Vulkan | wgpu::Backend::Dx12);
    let hardware = matches!(info.device_type, DeviceType::DiscreteGpu | DeviceType::IntegratedGpu);
    direct && hardware && features.contains(Features::SUBGROUP) && info.subgroup_min_size >= 4
}

fn kind(kind: DeviceType) -> DeviceKind {
    match kind {
        DeviceType::DiscreteGpu => DeviceKind::Discrete,
        DeviceType::IntegratedGpu => DeviceKind::Integrated,
        DeviceType::Cpu => DeviceKind::Software,
        DeviceType::VirtualGpu | DeviceType::Other => DeviceKind::Virtual,
    }
}

fn memory(adapter: &wgpu::Adapter, kind: DeviceKind) -> Option<u64> {
    match kind {
        DeviceKind::Discrete | DeviceKind::Virtual => local_memory(adapter),
        DeviceKind::Integrated | DeviceKind::Software | DeviceKind::Cpu => Cpu::new(1).caps().memory,
    }
}

/// Bytes of the device's own memory, where Vulkan tells.
#[cfg(any(windows, target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
fn local_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the adapter's Vulkan handles are only asked for constant properties, while the adapter is alive; nothing
    // is destroyed or changed through them.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps_as_slice().iter();
    let largest = heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max();
    largest.filter(|bytes| *bytes > 0)
}

/// Bytes of the device's own memory: no other interface tells.
#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
fn local_memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}
