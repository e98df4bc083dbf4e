//! The view of a kernel's plain loop: one workgroup of one dispatch.

use std::{ops::Range, sync::Arc};

use half::f16;

use super::{Dispatch, Floats, Scalar, host_memory::HostMemory};
use crate::compute::{
    dtype::{DType, PLANES, Packs, Planes},
    formats::{Row, heads, packed},
};

/// One workgroup of one dispatch. The workgroups of a dispatch write disjoint ranges.
pub struct Group<'a> {
    /// Position in the grid, in workgroups.
    pub id: [u32; 3],
    dispatch: &'a Dispatch,
    memory: &'a [Arc<HostMemory>],
}

impl<'a> Group<'a> {
    pub(in crate::compute) fn new(id: [u32; 3], dispatch: &'a Dispatch, memory: &'a [Arc<HostMemory>]) -> Self {
        Self { id, dispatch, memory }
    }

    /// The workgroup's position in one dimension of the grid.
    pub fn at(&self, dimension: usize) -> usize {
        self.id[dimension] as usize
    }

    /// A compile-time constant of the dispatch.
    ///
    /// # Panics
    /// If the dispatch has no such define.
    pub fn define(&self, name: &str) -> usize {
        self.dispatch.define(name) as usize
    }

    /// A compile-time constant; `None` if the dispatch does not have it.
    pub fn find_define(&self, name: &str) -> Option<usize> {
        self.dispatch.find_define(name).map(|value| value as usize)
    }

    /// A dispatch constant of type u32.
    ///
    /// # Panics
    /// If the kernel has no such constant, or it has another type.
    pub fn word(&self, name: &str) -> usize {
        match self.param(name) {
            (Scalar::U32(_), bits) => bits as usize,
            _ => panic!("{}: parameter {name} is not u32", self.dispatch.kernel.name),
        }
    }

    /// A dispatch constant of type f32.
    ///
    /// # Panics
    /// If the kernel has no such constant, or it has another type.
    pub fn f32(&self, name: &str) -> f32 {
        match self.param(name) {
            (Scalar::F32(_), bits) => f32::from_bits(bits),
            _ => panic!("{}: parameter {name} is not f32", self.dispatch.kernel.name),
        }
    }

    fn param(&self, name: &str) -> (Scalar, u32) {
        let params = self.dispatch.kernel.params.iter().zip(&self.dispatch.params);
        let found = params.into_iter().find(|((known, _), _)| *known == name);
        let ((_, kind), bits) = found.unwrap_or_else(|| panic!("{}: no parameter {name}", self.dispatch.kernel.name));
        (*kind, *bits)
    }

    /// The number of the binding with this name.
    fn binding(&self, name: &str) -> usize {
        let kernel = self.dispatch.kernel;
        let found = kernel.bindings.iter().position(|binding| binding.name == name);
        found.unwrap_or_else(|| panic!("{}: no binding {name}", kernel.name))
    }

    /// A range of a binding, as words.
    ///
    /// # Panics
    /// If the kernel has no binding of this name, or the range exceeds the buffer; the same holds for the methods
    /// below.
    pub fn words(&self, name: &str, range: Range<usize>) -> &'a [u32] {
        self.memory[self.binding(name)].words(range)
    }

    /// A range of an f32 binding.
    ///
    /// # Panics
    /// If the binding has another element type.
    pub fn f32s(&self, name: &str, range: Range<usize>) -> &'a [f32] {
        let binding = self.binding(name);
        self.expect(binding, DType::F32);
        bytemuck::cast_slice(self.memory[binding].words(range))
    }

    /// A range of a binding of any float type.
    ///
    /// # Panics
    /// If the binding has type u32, or it is quantized and the range is not one whole row.
    pub fn floats(&self, name: &str, range: Range<usize>) -> Floats<'a> {
        let binding = self.binding(name);
        let memory = &self.memory[binding];
        match self.dispatch.elements[binding] {
            DType::F16 => Floats::F16(bytemuck::cast_slice(memory.words_16(range))),
            DType::Bf16 => Floats::Bf16(bytemuck::cast_slice(memory.words_16(range))),
            DType::F32 => Floats::F32(bytemuck::cast_slice(memory.words(range))),
            DType::U32 => panic!("{}: {name} is u32", self.dispatch.kernel.name),
            _ => self.quantized(binding, range),
        }
    }

    /// One quantized row.
    fn quantized(&self, binding: usize, range: Range<usize>) -> Floats<'a> {
        let planes = self.planes(binding, range).map(|bytes| self.memory[binding].bytes(bytes));
        Floats::Quantized(Row { dtype: self.dispatch.elements[binding], planes })
    }

    /// The byte range of a quantized row in each plane.
    fn planes(&self, binding: usize, range: Range<usize>) -> [Range<usize>; PLANES] {
        let (dtype, shape) = (self.dispatch.elements[binding], self.dispatch.shapes[binding]);
        let width = shape[1] as usize;
        let whole = range.start.is_multiple_of(width) && range.len() == width;
        assert!(whole, "{}: partial row of {}", self.dispatch.kernel.name, self.dispatch.kernel.bindings[binding].name);
        Planes::of(dtype, shape).row(range.start / width)
    }

    /// A range of an f32 binding, for writing.
    ///
    /// # Panics
    /// If the binding has another element type, or the kernel does not write it.
    pub fn f32s_mut(&self, name: &str, range: Range<usize>) -> &'a mut [f32] {
        let binding = self.written(name);
        self.expect(binding, DType::F32);
        bytemuck::cast_slice_mut(self.memory[binding].words_mut(range))
    }

    /// A range of a binding, as words, for writing.
    ///
    /// # Panics
    /// If the kernel does not write the binding.
    pub fn words_mut(&self, name: &str, range: Range<usize>) -> &'a mut [u32] {
        self.memory[self.written(name)].words_mut(range)
    }

    /// The number of the binding with this name, which the kernel writes.
    fn written(&self, name: &str) -> usize {
        let (binding, kernel) = (self.binding(name), self.dispatch.kernel);
        assert!(kernel.bindings[binding].access.writes(), "{}: {name} is only read", kernel.name);
        binding
    }

    /// Writes f32 or f16 elements from element `at` on, a whole 8-bit head, or whole blocks of a packed row. f16
    /// saturates.
    ///
    /// # Panics
    /// If the binding has another element type, or the kernel does not write it.
    pub fn store(&self, name: &str, at: usize, values: &[f32]) {
        let binding = self.written(name);
        let (memory, range) = (&self.memory[binding], at..at + values.len());
        match self.dispatch.elements[binding] {
            DType::F32 => bytemuck::cast_slice_mut(memory.words_mut(range)).copy_from_slice(values),
            DType::F16 => {
                let f16_words = bytemuck::cast_slice_mut::<u16, f16>(memory.words_16_mut(range));
                for (word, value) in f16_words.iter_mut().zip(values) {
                    *word = f16::from_f32(value.clamp(-65504.0, 65504.0));
                }
            }
            DType::Q8Heads => {
                let [codes, scale, _] = self.planes(binding, range).map(|bytes| bytes.start / 4..bytes.end / 4);
                let codes = bytemuck::cast_slice_mut(memory.words_mut(codes));
                let bits = heads::quantize(values, codes).to_bits();
                memory.words_mut(scale).fill(bits);
            }
            DType::Packed(packs) => self.store_packed(binding, at, (packs, values)),
            other => panic!("{}: {name} is {other}, which no kernel writes", self.dispatch.kernel.name),
        }
    }

    /// Writes whole blocks of a packed row, from element `at` on.
    fn store_packed(&self, binding: usize, at: usize, (packs, values): (Packs, &[f32])) {
        let shape = self.dispatch.shapes[binding];
        let width = shape[1] as usize;
        let row = Planes::of(DType::Packed(packs), shape).row(at / width);
        packed::pack(packs, values, [at % width, width], |plane, word, words| {
            let word = row[plane].start / 4 + word;
            self.memory[binding].words_mut(word..word + 4).copy_from_slice(&words);
        });
    }

    fn expect(&self, binding: usize, dtype: DType) {
        let found = self.dispatch.elements[binding];
        assert_eq!(found, dtype, "{}: binding {binding}", self.dispatch.kernel.name);
    }
}
