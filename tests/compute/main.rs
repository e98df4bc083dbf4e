//! The layer below models: backends, recordings, the Metal executor, and the emulator that runs its shaders.
#![allow(missing_docs, clippy::unwrap_used)]

mod backends;
#[cfg(all(unix, feature = "emulator"))]
mod emulator;
mod metal;
mod passes;
#[path = "../support/mod.rs"]
mod support;
