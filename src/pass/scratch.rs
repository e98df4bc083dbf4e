//! Memory for results inside one recording: numbered, and lent again when the tensor that held it is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The scratch memory of one recording, shared by its tensors. Locked rather than borrowed, so that tensors of any kind
/// may cross threads.
#[derive(Clone, Default)]
pub(crate) struct Scratch(Arc<Mutex<Pool>>);

#[derive(Default)]
struct Pool {
    bytes: Vec<u64>,
    free: Vec<u32>,
}

impl Scratch {
    /// The number of a piece of `bytes` bytes: one that was given back, if there is one of this size.
    pub(crate) fn take(&self, bytes: u64) -> u32 {
        let mut pool = self.pool();
        match pool.free.iter().position(|&number| pool.bytes[number as usize] == bytes) {
            Some(at) => pool.free.swap_remove(at),
            None => {
                pool.bytes.push(bytes);
                pool.bytes.len() as u32 - 1
            }
        }
    }

    pub(crate) fn give(&self, number: u32) {
        self.pool().free.push(number);
    }

    /// Bytes of each piece so far.
    pub(super) fn sizes(&self) -> Vec<u64> {
        self.pool().bytes.clone()
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
