//! Operations: which kernels make one on this device.
//!
//! # Panics
//! Operations panic on tensors whose shapes do not fit together, naming operation and argument.
#![allow(clippy::missing_panics_doc)]

pub mod attention;
pub mod delta_net;
pub mod matmul;
pub mod select;
