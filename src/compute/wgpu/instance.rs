//! The connection to the drivers.

/// The wgpu instance that finds devices; `None` on a machine without a graphics driver.
///
/// Vulkan is opened without Wayland. Otherwise Mesa's device-selection layer looks for a compositor, and without a
/// session it prints an error to standard error, outside the log: `XDG_RUNTIME_DIR is invalid`.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(super) fn open() -> Option<wgpu::Instance> {
    use wgpu::hal::{api::Vulkan, vulkan};

    let descriptor = wgpu::hal::InstanceDescriptor {
        name: "bimetal",
        flags: wgpu::InstanceFlags::empty(),
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds::default(),
        backend_options: wgpu::BackendOptions::default(),
        telemetry: None,
        display: None,
    };
    // SAFETY: wgpu treats the extensions of the loader as enabled, so the list must keep those it uses. The only
    // removed one makes Wayland surfaces, and this crate makes no surfaces. The instance is as wgpu made it.
    unsafe {
        let callback = |arguments: vulkan::CreateInstanceCallbackArgs<'_, '_, '_>| {
            arguments.extensions.retain(|name| *name != c"VK_KHR_wayland_surface");
        };
        let opened = vulkan::Instance::init_with_callback(&descriptor, Some(Box::new(callback)));
        let instance = opened.inspect_err(|why| log::info!("Vulkan does not open: {why}")).ok()?;
        Some(wgpu::Instance::from_hal::<Vulkan>(instance))
    }
}

/// The wgpu instance that finds devices.
#[cfg(not(target_os = "linux"))]
pub(super) fn open() -> Option<wgpu::Instance> {
    Some(wgpu::Instance::new(wgpu::InstanceDescriptor {
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    }))
}
