//! Operations: which kernels make one on this device.

pub mod matmul;
