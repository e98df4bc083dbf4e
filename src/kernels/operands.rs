//! What kernels are given beside tensors: a step, heads, caches, matrices.

pub mod caches;
pub mod heads;
pub mod matrix;
pub mod step;
