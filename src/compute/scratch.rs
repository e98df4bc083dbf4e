//! Memory for intermediate results of one recording: numbered buffers, reused after their tensor is dropped.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::compute::lock::lock;

/// The scratch memory of one recording, shared by its tensors. A lock instead of a borrow lets tensors of every kind
/// cross threads.
#[derive(Clone, Default)]
pub(crate) struct Scratch(Arc<Mutex<Pool>>);

#[derive(Default)]
struct Pool {
    buffers: Vec<ScratchBuffer>,
    free: Vec<u32>,
}

/// A scratch buffer, or the requirements of one.
#[derive(Clone, Copy)]
struct ScratchBuffer {
    bytes: u64,
    /// Whether it grows to the size of its largest tensor.
    grows: bool,
}

impl Scratch {
    /// The number of a scratch buffer of exactly `bytes` bytes: a free one of this size, or a new one.
    pub(crate) fn take(&self, bytes: u64) -> u32 {
        self.lend(ScratchBuffer { bytes, grows: false })
    }

    /// The number of a growing scratch buffer of at least `bytes` bytes, reserved for these tensors. There are only as
    /// many such buffers as tensors alive at once, whatever their sizes.
    pub(crate) fn take_growing(&self, bytes: u64) -> u32 {
        self.lend(ScratchBuffer { bytes, grows: true })
    }

    fn lend(&self, wanted: ScratchBuffer) -> u32 {
        let Pool { buffers, free } = &mut *self.pool();
        let fits = |known: ScratchBuffer| known.grows == wanted.grows && (wanted.grows || known.bytes == wanted.bytes);
        if let Some(at) = free.iter().position(|&number| fits(buffers[number as usize])) {
            let number = free.swap_remove(at);
            let buffer = &mut buffers[number as usize];
            buffer.bytes = buffer.bytes.max(wanted.bytes);
            return number;
        }
        buffers.push(wanted);
        buffers.len() as u32 - 1
    }

    pub(crate) fn give(&self, number: u32) {
        self.pool().free.push(number);
    }

    /// Bytes of each scratch buffer so far.
    pub(super) fn sizes(&self) -> Vec<u64> {
        self.pool().buffers.iter().map(|buffer| buffer.bytes).collect()
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn pieces_are_lent_again() {
        let scratch = Scratch::default();
        let [a, b] = [16, 16].map(|bytes| scratch.take(bytes));
        assert_ne!(a, b);
        scratch.give(a);
        assert_eq!([scratch.take(32), scratch.take(16)], [2, a]);
        assert_eq!(scratch.sizes(), [16, 16, 32]);
    }

    #[test]
    fn what_grows_is_one_piece_of_the_largest_size() {
        let scratch = Scratch::default();
        let a = scratch.take_growing(16);
        scratch.give(a);
        assert_ne!(scratch.take(16), a, "growing buffers are separate");
        assert_eq!(scratch.take_growing(48), a);
        let b = scratch.take_growing(32);
        assert_ne!(b, a, "two tensors at once");
        [a, b].into_iter().for_each(|number| scratch.give(number));
        assert_eq!(scratch.take_growing(16), a, "the first free buffer");
        assert_eq!(scratch.sizes(), [48, 16, 32]);
    }
}
