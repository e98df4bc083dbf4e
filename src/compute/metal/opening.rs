//! Metal's devices, and how to open one. Outside macOS there is none, and the error says so.

use std::sync::Arc;

use crate::{
    compute::{backend::Backend, caps::Caps},
    error::{Error, Result},
};

/// Why this machine has no native Metal; `None` on macOS.
pub const ELSEWHERE: Option<&str> =
    if cfg!(target_os = "macos") { None } else { Some("is for macOS on Apple Silicon; elsewhere wgpu takes the GPU") };

/// The minimum version of macOS: its Metal compiles language version 3.0, which the shader texts use.
pub const MIN_MACOS: &str = "macOS 13";

/// The capabilities of each Apple GPU of this machine; empty outside macOS.
pub fn devices() -> Vec<Caps> {
    system::devices()
}

/// Opens the Apple GPU of this machine.
///
/// # Errors
/// [`Error::NoBackend`] with the reason if there is no such GPU.
pub fn open() -> Result<Arc<dyn Backend>> {
    system::open().map_err(|why| Error::NoBackend { reasons: vec![("metal".into(), why)] })
}

#[cfg(target_os = "macos")]
mod system {
    use super::{Arc, Backend, Caps};
    use crate::compute::metal::{Metal, driver::Driver, objc::Device};

    pub(super) fn devices() -> Vec<Caps> {
        Device::open().ok().iter().map(|device| device.caps().clone()).collect()
    }

    pub(super) fn open() -> Result<Arc<dyn Backend>, String> {
        Ok(Arc::new(Metal::new(Device::open()?)))
    }
}

#[cfg(not(target_os = "macos"))]
mod system {
    use super::{Arc, Backend, Caps, ELSEWHERE};

    pub(super) fn devices() -> Vec<Caps> {
        Vec::new()
    }

    pub(super) fn open() -> Result<Arc<dyn Backend>, String> {
        Err(format!("it {}", ELSEWHERE.unwrap_or_default()))
    }
}
