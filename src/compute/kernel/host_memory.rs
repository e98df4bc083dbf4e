//! Host memory that kernels share without locks.
#![allow(unsafe_code)]

use std::{cell::UnsafeCell, ops::Range, ptr, slice};

use crate::error::{Error, Result};

/// NaN in every element type: as f32, and in each 16-bit part of a word as f16 and bf16.
const POISON: u32 = 0x7fc0_7fc0;

/// The words of one buffer. Threads of one dispatch write disjoint ranges, and a barrier separates conflicting
/// dispatches. This contract, which GPUs require too, makes sharing the memory sound.
pub(in crate::compute) struct HostMemory(Box<[UnsafeCell<u32>]>);

// SAFETY: see the type's contract.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// Allocates `bytes` bytes of NaN.
    pub(in crate::compute) fn new(bytes: u64, label: &str) -> Result<Self> {
        let refused = || Error::OutOfMemory { label: label.into(), bytes, hint: String::new() };
        let words = usize::try_from(bytes.div_ceil(4)).map_err(|_| refused())?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(words).map_err(|_| refused())?;
        memory.resize_with(words, || UnsafeCell::new(POISON));
        Ok(Self(memory.into_boxed_slice()))
    }

    pub(in crate::compute) fn write(&self, at: u64, data: &[u8]) {
        let words = self.words_mut(at as usize / 4..(at as usize + data.len()).div_ceil(4));
        bytemuck::cast_slice_mut(words)[..data.len()].copy_from_slice(data);
    }

    pub(in crate::compute) fn read(&self, range: Range<u64>) -> Vec<u8> {
        let (start, end) = (range.start as usize, range.end as usize);
        let words = self.words(start / 4..end.div_ceil(4));
        bytemuck::cast_slice(words)[start % 4..][..end - start].to_vec()
    }

    pub(in crate::compute) fn words(&self, range: Range<usize>) -> &[u32] {
        let cells = &self.0[range];
        // SAFETY: `UnsafeCell<u32>` has the layout of `u32`; by the contract, no thread writes these words meanwhile.
        unsafe { slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    #[allow(clippy::mut_from_ref)]
    pub(in crate::compute) fn words_mut(&self, range: Range<usize>) -> &mut [u32] {
        let cells = &self.0[range];
        // SAFETY: as above; by the contract, no other thread reads or writes these words meanwhile.
        unsafe { slice::from_raw_parts_mut(ptr::from_ref(cells).cast::<u32>().cast_mut(), cells.len()) }
    }

    /// A range of bytes; each word starts with its lowest byte.
    pub(in crate::compute) fn bytes(&self, range: Range<usize>) -> &[u8] {
        let words = self.words(range.start / 4..range.end.div_ceil(4));
        &bytemuck::cast_slice(words)[range.start % 4..][..range.len()]
    }

    /// A range of 16-bit elements: two per word, the lower one first.
    pub(in crate::compute) fn words_16(&self, range: Range<usize>) -> &[u16] {
        let words = self.words(range.start / 2..range.end.div_ceil(2));
        &bytemuck::cast_slice(words)[range.start % 2..][..range.len()]
    }

    /// A range of 16-bit elements, for writing. It may share a word with another thread's range, so it never becomes a
    /// slice of words.
    #[allow(clippy::mut_from_ref)]
    pub(in crate::compute) fn words_16_mut(&self, range: Range<usize>) -> &mut [u16] {
        assert!(range.end <= 2 * self.0.len(), "write to {range:?} of {} 16-bit elements", 2 * self.0.len());
        // SAFETY: the assertion checks the bounds; by the contract, no other thread accesses these elements meanwhile.
        unsafe {
            let first = ptr::from_ref(&*self.0).cast::<u16>().cast_mut().add(range.start);
            slice::from_raw_parts_mut(first, range.len())
        }
    }
}
