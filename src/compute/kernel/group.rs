//! What a kernel's plain loop sees: one group of one dispatch.

use std::{ops::Range, sync::Arc};

use half::f16;

use super::{Dispatch, Floats, Scalar, host_memory::HostMemory};
use crate::compute::{
    dtype::{DType, PLANES, Packs, Planes},
    formats::{Row, heads, packed},
};

/// One group of one dispatch. Groups of a dispatch write disjoint ranges.
pub struct Group<'a> {
    /// Position in the grid.
    pub id: [u32; 3],
    dispatch: &'a Dispatch,
    memory: &'a [Arc<HostMemory>],
}

impl<'a> Group<'a> {
    pub(in crate::compute) fn new(id: [u32; 3], dispatch: &'a Dispatch, memory: &'a [Arc<HostMemory>]) -> Self {
        Self { id, dispatch, memory }
    }

    /// The group's place in one dimension of the grid.
    pub fn at(&self, dimension: usize) -> usize {
        self.id[dimension] as usize
    }

    /// A compile-time constant.
    ///
    /// # Panics
    /// If the launch has no such define.
    pub fn define(&self, name: &str) -> usize {
        self.dispatch.define(name) as usize
    }

    /// A compile-time constant, if the launch has it.
    pub fn known(&self, name: &str) -> Option<usize> {
        self.dispatch.known(name).map(|value| value as usize)
    }

    /// A launch constant that is an unsigned number.
    ///
    /// # Panics
    /// If the kernel has no such constant, or of another kind.
    pub fn word(&self, name: &str) -> usize {
        match self.param(name) {
            (Scalar::U32(_), bits) => bits as usize,
            _ => panic!("{}: parameter {name} is not u32", self.dispatch.kernel.name),
        }
    }

    /// A launch constant of type f32.
    ///
    /// # Panics
    /// If the kernel has no such constant, or of another kind.
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

    /// The number of a binding of this name.
    fn binding(&self, name: &str) -> usize {
        let kernel = self.dispatch.kernel;
        let found = kernel.bindings.iter().position(|binding| binding.name == name);
        found.unwrap_or_else(|| panic!("{}: no binding {name}", kernel.name))
    }

    /// Words of a binding.
    ///
    /// # Panics
    /// If the kernel has no binding of this name, or the range is not in the buffer; so do all that follow.
    pub fn words(&self, name: &str, range: Range<usize>) -> &'a [u32] {
        self.memory[self.binding(name)].words(range)
    }

    /// Elements of a binding of type f32.
    ///
    /// # Panics
    /// If it holds other elements.
    pub fn f32s(&self, name: &str, range: Range<usize>) -> &'a [f32] {
        let binding = self.binding(name);
        self.expect(binding, DType::F32);
        bytemuck::cast_slice(self.memory[binding].words(range))
    }

    /// Elements of a binding of any float type.
    ///
    /// # Panics
    /// If it holds words, or for what is quantised if the range is no whole row.
    pub fn floats(&self, name: &str, range: Range<usize>) -> Floats<'a> {
        let binding = self.binding(name);
        let memory = &self.memory[binding];
        match self.dispatch.elements[binding] {
            DType::F16 => Floats::F16(bytemuck::cast_slice(memory.halves(range))),
            DType::Bf16 => Floats::Bf16(bytemuck::cast_slice(memory.halves(range))),
            DType::F32 => Floats::F32(bytemuck::cast_slice(memory.words(range))),
            DType::U32 => panic!("{}: {name} is u32", self.dispatch.kernel.name),
            _ => self.quantised(binding, range),
        }
    }

    /// One quantised row.
    fn quantised(&self, binding: usize, range: Range<usize>) -> Floats<'a> {
        let planes = self.planes(binding, range).map(|bytes| self.memory[binding].bytes(bytes));
        Floats::Quantised(Row { dtype: self.dispatch.elements[binding], planes })
    }

    /// The bytes of a quantised row in each plane.
    fn planes(&self, binding: usize, range: Range<usize>) -> [Range<usize>; PLANES] {
        let (dtype, shape) = (self.dispatch.elements[binding], self.dispatch.shapes[binding]);
        let width = shape[1] as usize;
        let whole = range.start.is_multiple_of(width) && range.len() == width;
        assert!(whole, "{}: a whole row of {}", self.dispatch.kernel.name, self.dispatch.kernel.bindings[binding].name);
        Planes::of(dtype, shape).row(range.start / width)
    }

    /// Elements of a binding of type f32, to be written.
    ///
    /// # Panics
    /// If it holds other elements, or is not written by the kernel.
    pub fn f32s_mut(&self, name: &str, range: Range<usize>) -> &'a mut [f32] {
        let binding = self.written(name);
        self.expect(binding, DType::F32);
        bytemuck::cast_slice_mut(self.memory[binding].words_mut(range))
    }

    /// Words of a binding, to be written.
    ///
    /// # Panics
    /// If it is not written by the kernel.
    pub fn words_mut(&self, name: &str, range: Range<usize>) -> &'a mut [u32] {
        self.memory[self.written(name)].words_mut(range)
    }

    /// The number of a binding of this name that the kernel writes.
    fn written(&self, name: &str) -> usize {
        let (binding, kernel) = (self.binding(name), self.dispatch.kernel);
        assert!(kernel.bindings[binding].access.writes(), "{}: {name} is only read", kernel.name);
        binding
    }

    /// Writes elements of a binding of type f32 or f16, from element `at` on, or a whole head of 8 bits. f16 saturates.
    ///
    /// # Panics
    /// If it holds other elements, or is not written by the kernel.
    pub fn store(&self, name: &str, at: usize, values: &[f32]) {
        let binding = self.written(name);
        let (memory, range) = (&self.memory[binding], at..at + values.len());
        match self.dispatch.elements[binding] {
            DType::F32 => bytemuck::cast_slice_mut(memory.words_mut(range)).copy_from_slice(values),
            DType::F16 => {
                let halves = bytemuck::cast_slice_mut::<u16, f16>(memory.halves_mut(range));
                for (half, value) in halves.iter_mut().zip(values) {
                    *half = f16::from_f32(value.clamp(-65504.0, 65504.0));
                }
            }
            DType::Q8Heads => {
                let [codes, scale, _] = self.planes(binding, range).map(|bytes| bytes.start / 4..bytes.end / 4);
                let codes = bytemuck::cast_slice_mut(memory.words_mut(codes));
                let bits = heads::quantise(values, codes).to_bits();
                memory.words_mut(scale).fill(bits);
            }
            DType::Packed(packs) => self.store_packed(binding, at, (packs, values)),
            other => panic!("{}: {name} is {other}, which nothing writes", self.dispatch.kernel.name),
        }
    }

    /// Whole blocks of a packed row, from element `at` on.
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
