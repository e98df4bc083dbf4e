//! Element types of tensors, in a checkpoint and on a device.

use std::{fmt, ops::Range};

/// Weights of a quantization block; a row is a whole number of blocks.
pub const BLOCK: usize = 32;

/// Weights that share a unit scale in `q4`; the last unit of a row may have fewer.
pub const UNIT: usize = 256;

/// Number of planes of every format.
pub const PLANES: usize = 3;

/// Byte order of packed rows, which are multiplied four bytes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packs {
    /// Elements in order.
    Bytes,
    /// In each group of eight: the even elements, then the odd elements.
    Nibbles,
}

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single precision, 32 bits.
    F32,
    /// IEEE half precision, 16 bits.
    F16,
    /// The upper 16 bits of an f32: 8 exponent bits, 7 mantissa bits.
    Bf16,
    /// Unsigned 32-bit words: ids, positions, tables.
    U32,
    /// Quantized 8-bit weights: [`crate::compute::formats`].
    Q8,
    /// Quantized 4-bit weights.
    Q4,
    /// GGML's Q4_0.
    Q4_0,
    /// GGML's Q4_K.
    Q4K,
    /// GGML's Q5_K.
    Q5K,
    /// GGML's Q6_K.
    Q6K,
    /// Rows of x packed into bytes in this order, for packed products: [`crate::compute::formats::packed`].
    Packed(Packs),
    /// Keys and values of 8 bits: each row is one head with its own scale. See [`crate::compute::formats::heads`].
    Q8Heads,
}

impl DType {
    /// Bytes of one element.
    ///
    /// # Panics
    /// For quantized types, which have no size per element: see [`DType::size`].
    pub const fn bytes(self) -> u64 {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::Bf16 => 2,
            _ => panic!("quantized weights come in blocks"),
        }
    }

    /// Bytes of a matrix of `rows` × `width` elements on a device.
    ///
    /// # Panics
    /// For quantized types if a row is not a whole number of blocks.
    pub fn size(self, [rows, width]: [u32; 2]) -> u64 {
        match self.is_quantized() {
            true => Planes::of(self, [rows, width]).bytes,
            false => u64::from(rows) * u64::from(width) * self.bytes(),
        }
    }

    /// Whether elements share scales.
    pub const fn is_quantized(self) -> bool {
        !matches!(self, DType::F32 | DType::F16 | DType::Bf16 | DType::U32)
    }

    /// Whether only GGUF files hold this type.
    pub const fn is_ggml(self) -> bool {
        matches!(self, DType::Q4_0 | DType::Q4K | DType::Q5K | DType::Q6K)
    }

    /// The byte order of rows that multiply these weights as packed bytes; `None` without such a product.
    pub const fn packs(self) -> Option<Packs> {
        match self {
            DType::Q8 => Some(Packs::Bytes),
            DType::Q4 | DType::Q4_0 | DType::Q4K | DType::Q5K | DType::Q6K => Some(Packs::Nibbles),
            _ => None,
        }
    }

    /// Whether elements have at most 16 bits.
    pub const fn is_narrow(self) -> bool {
        !matches!(self, DType::F32 | DType::U32)
    }

    /// Whether matrix units accept the type: f16, and quantized types, which the kernel converts to f16.
    pub const fn suits_matrix_units(self) -> bool {
        matches!(self, DType::F16) || self.is_quantized()
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
            DType::Q4_0 => "q4_0",
            DType::Q4K => "q4_K",
            DType::Q5K => "q5_K",
            DType::Q6K => "q6_K",
            DType::Packed(_) => "packed",
        })
    }
}

/// The layout of the planes of a quantized matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planes {
    /// Bytes per row in each plane.
    pub row: [usize; PLANES],
    /// Byte offset of each plane.
    pub start: [usize; PLANES],
    /// Total bytes of all planes.
    pub bytes: u64,
}

impl Planes {
    /// The planes of a matrix of `rows` × `width` weights.
    ///
    /// # Panics
    /// If the type is not quantized, or a row is not a whole number of blocks.
    pub fn of(dtype: DType, [rows, width]: [u32; 2]) -> Self {
        let (rows, width) = (rows as usize, width as usize);
        let row = match dtype {
            DType::Q8 => [width, width / 16, 0],
            DType::Q4 => [width / 2, width / 16, 2 * width.div_ceil(UNIT)],
            DType::Q4_0 | DType::Q4K => [width / 2, width / 16, 0],
            DType::Q5K => [width / 2, width / 16, width / 8],
            DType::Q6K => [width / 2, width / 128 * 9, width / 4],
            DType::Q8Heads => [width, 4, 0],
            DType::Packed(_) => [2 * width, width / 2, 0],
            _ => panic!("{dtype} is not quantized"),
        };
        let block = if dtype == DType::Q8Heads { 1 } else { super_block(dtype) };
        assert!(width.is_multiple_of(block), "{dtype}: a row of {width} weights is not a multiple of {block}");
        let [codes, words, units] = row.map(|bytes| (rows * bytes).next_multiple_of(16));
        Self { row, start: [0, codes, codes + words], bytes: (codes + words + units) as u64 }
    }

    /// The byte ranges of one row, one for each plane.
    pub fn row(&self, row: usize) -> [Range<usize>; PLANES] {
        [0, 1, 2].map(|plane| {
            let start = self.start[plane] + row * self.row[plane];
            start..start + self.row[plane]
        })
    }
}

/// Weights of the unit that must divide a row.
pub const fn super_block(dtype: DType) -> usize {
    match dtype {
        DType::Q4K | DType::Q5K | DType::Q6K => 256,
        _ => BLOCK,
    }
}
