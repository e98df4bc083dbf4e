//! Kernel operands beside tensors: recorders, steps, heads, caches, matrices.

pub mod caches;
pub mod heads;
pub mod matrix;
pub mod recorder;
pub mod step;
