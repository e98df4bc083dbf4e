//! The tensor types of a GGUF file.

use crate::compute::dtype::DType;

/// A tensor type: its number and name in the format, values and bytes per block, and its dtype here if supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Kind {
    number: u32,
    pub(in super::super) name: &'static str,
    block: usize,
    bytes: usize,
    pub(in super::super) dtype: Option<DType>,
}

/// The supported types of weights, for messages.
pub(in super::super) const READ: &str = "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K or Q6_K";

const fn kind(number: u32, name: &'static str, [block, bytes]: [usize; 2], dtype: Option<DType>) -> Kind {
    Kind { number, name, block, bytes, dtype }
}

#[rustfmt::skip]
static KINDS: [Kind; 34] = [
    kind(0,  "F32",     [1, 4],     Some(DType::F32)),
    kind(1,  "F16",     [1, 2],     Some(DType::F16)),
    kind(2,  "Q4_0",    [32, 18],   Some(DType::Q4_0)),
    kind(3,  "Q4_1",    [32, 20],   None),
    kind(6,  "Q5_0",    [32, 22],   None),
    kind(7,  "Q5_1",    [32, 24],   None),
    kind(8,  "Q8_0",    [32, 34],   Some(DType::Q8)),
    kind(9,  "Q8_1",    [32, 40],   None),
    kind(10, "Q2_K",    [256, 84],  None),
    kind(11, "Q3_K",    [256, 110], None),
    kind(12, "Q4_K",    [256, 144], Some(DType::Q4K)),
    kind(13, "Q5_K",    [256, 176], Some(DType::Q5K)),
    kind(14, "Q6_K",    [256, 210], Some(DType::Q6K)),
    kind(15, "Q8_K",    [256, 292], None),
    kind(16, "IQ2_XXS", [256, 66],  None),
    kind(17, "IQ2_XS",  [256, 74],  None),
    kind(18, "IQ3_XXS", [256, 98],  None),
    kind(19, "IQ1_S",   [256, 50],  None),
    kind(20, "IQ4_NL",  [32, 18],   None),
    kind(21, "IQ3_S",   [256, 110], None),
    kind(22, "IQ2_S",   [256, 82],  None),
    kind(23, "IQ4_XS",  [256, 136], None),
    kind(24, "I8",      [1, 1],     None),
    kind(25, "I16",     [1, 2],     None),
    kind(26, "I32",     [1, 4],     None),
    kind(27, "I64",     [1, 8],     None),
    kind(28, "F64",     [1, 8],     None),
    kind(29, "IQ1_M",   [256, 56],  None),
    kind(30, "BF16",    [1, 2],     Some(DType::Bf16)),
    kind(34, "TQ1_0",   [256, 54],  None),
    kind(35, "TQ2_0",   [256, 66],  None),
    kind(39, "MXFP4",   [32, 17],   None),
    kind(40, "NVFP4",   [64, 36],   None),
    kind(41, "Q1_0",    [128, 18],  None),
];

impl Kind {
    /// The type of converted small tensors.
    pub(super) const F32: &'static Kind = &KINDS[0];

    pub(super) fn of(number: u32) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.number == number)
    }

    /// Bytes of a tensor of this shape, outermost dimension first. `None` if rows are not whole blocks or the product
    /// overflows.
    pub(super) fn size(&self, shape: &[usize]) -> Option<usize> {
        let width = shape.last()?;
        let blocks = width.is_multiple_of(self.block).then_some(width / self.block)?;
        let rows = shape[..shape.len() - 1].iter().try_fold(1_usize, |rows, size| rows.checked_mul(*size))?;
        rows.checked_mul(blocks)?.checked_mul(self.bytes)
    }

    /// Values per block.
    pub(super) fn block(&self) -> usize {
        self.block
    }
}
