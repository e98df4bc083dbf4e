//! The native Metal backend, which is not part of this build on any platform. On macOS, wgpu reaches the GPU meanwhile.

pub mod driver;
pub mod prelude;

use std::sync::Arc;

use crate::{
    backend::Backend,
    error::{Error, Result},
};

/// Why there is none.
pub const NOT_BUILT: &str = "the native Metal backend is not built yet; on macOS the wgpu backend runs on Metal";

/// Opens it.
///
/// # Errors
/// Always [`Error::NoBackend`], with [`NOT_BUILT`].
pub fn open() -> Result<Arc<dyn Backend>> {
    Err(Error::NoBackend { reasons: vec![("metal".into(), NOT_BUILT.into())] })
}
