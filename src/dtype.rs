//! Element types of tensors, in a checkpoint and on a device.

use std::fmt;

use crate::quant::Planes;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single: 8 exponent bits, 7 mantissa bits.
    Bf16,
    /// Unsigned 32-bit words: ids, positions, tables.
    U32,
    /// Quantised weights of 8 bits: [`crate::quant`].
    Q8,
    /// Quantised weights of 4 bits.
    Q4,
    /// Keys and values of 8 bits, of which each row is a head with a scale of its own: [`crate::quant::heads`].
    Q8Heads,
}

impl DType {
    /// Bytes of one element.
    ///
    /// # Panics
    /// For quantised elements, of which one alone is nothing: see [`DType::size`].
    pub const fn bytes(self) -> u64 {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::Bf16 => 2,
            DType::Q8 | DType::Q4 | DType::Q8Heads => panic!("quantised elements share scales"),
        }
    }

    /// Bytes of a matrix of `rows` × `width` elements on a device.
    ///
    /// # Panics
    /// For quantised weights in rows of no whole blocks.
    pub fn size(self, [rows, width]: [u32; 2]) -> u64 {
        match self.is_quantised() {
            true => Planes::of(self, [rows, width]).bytes,
            false => u64::from(rows) * u64::from(width) * self.bytes(),
        }
    }

    /// Whether elements share scales.
    pub const fn is_quantised(self) -> bool {
        matches!(self, DType::Q8 | DType::Q4 | DType::Q8Heads)
    }

    /// Whether elements have 16 bits at the most.
    pub const fn is_narrow(self) -> bool {
        !matches!(self, DType::F32 | DType::U32)
    }

    /// Whether matrix units take elements: halves, and what is quantised, which becomes halves on the way.
    pub const fn has_halves(self) -> bool {
        matches!(self, DType::F16) || self.is_quantised()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::U32 => "u32",
            DType::Q8 | DType::Q8Heads => "q8",
            DType::Q4 => "q4",
        })
    }
}
