//! Which of Metal's devices there are, and opening one. Outside of macOS there is none, and that is said.

use std::sync::Arc;

use crate::{
    compute::{backend::Backend, caps::Caps},
    error::{Error, Result},
};

/// Why there is no native Metal here, if there is none.
pub const ELSEWHERE: Option<&str> =
    if cfg!(target_os = "macos") { None } else { Some("is for macOS on Apple Silicon; elsewhere wgpu takes the GPU") };

/// The least version of macOS whose Metal takes the language version that the texts are written in, 3.0.
pub const LEAST_MACOS: &str = "macOS 13";

/// What each Apple GPU of this machine can do; none outside of macOS.
pub fn devices() -> Vec<Caps> {
    system::devices()
}

/// Opens the Apple GPU of this machine.
///
/// # Errors
/// [`Error::NoBackend`] where there is none, with the reason.
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
