//! Operations: they choose the kernels that suit the device.
//!
//! # Panics
//! Operations panic if tensor shapes do not match; the message names the operation and the argument.
#![allow(clippy::missing_panics_doc)]

pub mod attention;
pub mod delta_net;
pub mod matmul;
pub mod select;
