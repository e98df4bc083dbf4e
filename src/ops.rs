//! Operations: which kernels make one on this device.

pub mod attention;
pub mod delta_net;
pub mod matmul;
pub mod select;
