//! The devices that wgpu finds, their capabilities, and how to open one.

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

/// A device that wgpu found and can open.
pub struct Adapter {
    handle: wgpu::Adapter,
    caps: Caps,
}

impl Adapter {
    /// Every device that wgpu finds, in the drivers' order. Empty on a machine without a graphics driver.
    pub(super) async fn all() -> Vec<Self> {
        let Some(instance) = instance::open() else { return Vec::new() };
        let handles = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
        handles.into_iter().map(|handle| Self { caps: caps(&handle, Restrict::default()), handle }).collect()
    }

    /// Its capabilities without restrictions.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The features that it offers and that this crate uses, as readable names.
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

    /// Opens the device with all features that it offers and `restrict` allows.
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

/// Permission to use matrix units, an experimental feature of wgpu.
#[allow(unsafe_code)]
fn experimental() -> ExperimentalFeatures {
    // SAFETY: cooperative matrices are the only experimental feature in use, and the loads and stores of this crate's
    // shaders stay inside their arrays.
    unsafe { ExperimentalFeatures::enabled() }
}

/// The largest square fragment that the device multiplies, f16 by f16 with f32 sums. `None` without the features, or
/// without one fixed subgroup width.
fn matrix_units(adapter: &wgpu::Adapter, features: Features) -> Option<u32> {
    let info = adapter.get_info();
    if !features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16 | Features::SUBGROUP)
        || info.subgroup_min_size != info.subgroup_max_size
    {
        return None;
    }
    let kinds = adapter.cooperative_matrix_properties().into_iter();
    let square = kinds.filter(|kind| kind.m_size == kind.n_size && kind.n_size == kind.k_size);
    let in_f16 =
        square.filter(|kind| (kind.ab_type, kind.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32));
    in_f16.map(|kind| kind.m_size).max()
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
    if let Some(max_binding) = restrict.max_binding {
        limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(max_binding);
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

/// Whether the driver should have instructions for packed dot products; wgpu does not report them. GPUs of the last ten
/// years have them through Vulkan and DirectX 12. Apple's GPUs have none.
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

/// Bytes of the device's own memory, if Vulkan reports them.
#[cfg(any(windows, target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
fn local_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the adapter's Vulkan handles are only used to read constant properties, while the adapter is alive.
    // Nothing is destroyed or changed through them.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps_as_slice().iter();
    let largest = heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max();
    largest.filter(|bytes| *bytes > 0)
}

/// Bytes of the device's own memory. `None`: only Vulkan reports them.
#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
fn local_memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}
