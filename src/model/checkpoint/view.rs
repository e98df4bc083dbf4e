//! One tensor of a checkpoint, and the search for NaN and infinity.

use std::{ops::BitAnd, path::Path};

use half::{bf16, f16};

use crate::{
    Error, Result,
    compute::{
        dtype::{BLOCK, DType, UNIT},
        formats::{Blocks, Scales},
    },
};

/// One tensor as the checkpoint stores it. The bytes are little-endian and need not be aligned.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// The full name, with prefix.
    pub name: &'a str,
    /// The file that holds it.
    pub file: &'a Path,
    /// Floats, or a quantized type.
    pub dtype: DType,
    /// Outermost dimension first.
    pub shape: &'a [usize],
    /// All values, row by row; for quantized weights, codes or whole blocks.
    pub data: &'a [u8],
    /// The scales of quantized weights.
    pub scales: Scales<'a>,
}

/// Values tested together before one branch: the inner loop has no branch, so it is vectorized and runs at memory
/// speed.
const TOGETHER: usize = 4096;

impl TensorView<'_> {
    /// The last dimension: values per row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Row, column and value of the first NaN or infinity. For quantized weights, the first bad scale; in blocks, also
    /// the first scale of weights beyond f16. All dimensions except the last count as rows.
    pub fn find_not_finite(&self) -> Option<(usize, usize, f32)> {
        let (index, value) = match self.dtype {
            DType::F32 => {
                first(self.data, |bytes| exponent_full(u32::from_le_bytes(bytes), 0x7f80_0000), f32::from_le_bytes)
            }
            DType::F16 => {
                let value = |bytes| f16::from_le_bytes(bytes).to_f32();
                first(self.data, |bytes| exponent_full(u16::from_le_bytes(bytes), 0x7c00), value)
            }
            DType::Bf16 => {
                let value = |bytes| bf16::from_le_bytes(bytes).to_f32();
                first(self.data, |bytes| exponent_full(u16::from_le_bytes(bytes), 0x7f80), value)
            }
            DType::U32 | DType::Q8Heads => None,
            _ => self.first_scale(),
        }?;
        let columns = self.columns().max(1);
        Some((index / columns, index % columns, value))
    }

    /// Index of the first weight whose scale is NaN or infinite, and that scale.
    fn first_scale(&self) -> Option<(usize, f32)> {
        let value = |bytes| f16::from_le_bytes(bytes).to_f32();
        let plane = match (self.scales, self.dtype) {
            (Scales::Within, dtype) => {
                let blocks = Blocks::of(dtype);
                return blocks.find_unfit(self.data).map(|(at, scale)| (at * blocks.weights, scale));
            }
            (Scales::Apart([words, _]), DType::Q8) => words,
            (Scales::Apart([_, units]), _) => units,
        };
        let (at, scale) = first(plane, |bytes| exponent_full(u16::from_le_bytes(bytes), 0x7c00), value)?;
        let shared = if self.dtype == DType::Q8 { BLOCK } else { UNIT };
        let in_row = self.columns().div_ceil(shared);
        Some((at / in_row * self.columns() + at % in_row * shared, scale))
    }

    /// Checks that all values are finite.
    ///
    /// # Errors
    /// [`Error::Tensor`] with the place of the first bad value.
    pub fn require_finite(&self) -> Result<()> {
        let Some((row, column, value)) = self.find_not_finite() else { return Ok(()) };
        let got = format!("{value} at row {row}, column {column}");
        let want = match self.dtype.is_quantized() {
            true if value.is_finite() => "scales of weights that half precision has",
            true => "finite scales",
            false => "finite values",
        };
        Err(Error::Tensor { file: self.file.into(), name: self.name.into(), want: want.into(), got })
    }
}

/// All exponent bits set: infinity or NaN.
fn exponent_full<T: Copy + PartialEq + BitAnd<Output = T>>(bits: T, mask: T) -> bool {
    bits & mask == mask
}

/// Index and value of the first element that is `bad`.
fn first<const N: usize>(
    data: &[u8],
    bad: impl Fn([u8; N]) -> bool,
    value: impl Fn([u8; N]) -> f32,
) -> Option<(usize, f32)> {
    let (elements, _) = data.as_chunks::<N>();
    let mut blocks = elements.chunks(TOGETHER).enumerate();
    let (block, elements) = blocks.find(|(_, block)| block.iter().fold(false, |any, element| any | bad(*element)))?;
    let index = elements.iter().position(|element| bad(*element))?;
    Some((block * TOGETHER + index, value(elements[index])))
}
