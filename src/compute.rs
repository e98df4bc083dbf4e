//! The ground floor: devices, memory, element types, recordings, and the backends that run them. Knows no model.

pub mod backend;
pub mod caps;
pub mod cost;
pub mod cpu;
pub mod devices;
pub mod dry_run;
pub mod dtype;
pub mod formats;
pub mod kernel;
mod lock;
pub mod memory;
pub mod metal;
pub mod pass;
mod scratch;
mod submission;
pub mod tensor;
#[cfg(feature = "wgpu")]
pub mod wgpu;
