//! The way to the drivers.

/// An instance through which devices are found; none on a machine without any graphics driver.
///
/// Vulkan is opened without Wayland. Mesa's layer that sorts devices would otherwise look for a compositor, and where
/// there is no session it complains on standard error, past every log: `XDG_RUNTIME_DIR is invalid`.
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
    // SAFETY: nothing may be taken from this list because wgpu takes what the loader offers for enabled. What is taken is
    // the way to make surfaces for Wayland, and nothing here makes surfaces. The instance is as wgpu made it.
    unsafe {
        let callback = |arguments: vulkan::CreateInstanceCallbackArgs<'_, '_, '_>| {
            arguments.extensions.retain(|name| *name != c"VK_KHR_wayland_surface");
        };
        let opened = vulkan::Instance::init_with_callback(&descriptor, Some(Box::new(callback)));
        let instance = opened.inspect_err(|why| log::info!("Vulkan does not open: {why}")).ok()?;
        Some(wgpu::Instance::from_hal::<Vulkan>(instance))
    }
}

/// An instance through which devices are found.
#[cfg(not(target_os = "linux"))]
pub(super) fn open() -> Option<wgpu::Instance> {
    Some(wgpu::Instance::new(wgpu::InstanceDescriptor {
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    }))
}
