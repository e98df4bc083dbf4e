//! Kernel operands beside tensors: steps, heads, caches, matrices.

pub mod caches;
pub mod heads;
pub mod matrix;
pub mod step;
