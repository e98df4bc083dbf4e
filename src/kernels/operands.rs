//! What kernels are given beside tensors.

pub mod step;
