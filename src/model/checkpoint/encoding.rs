//! How the values of a stored tensor are written down, in either kind of file.

use std::fmt;

use safetensors::tensor::Dtype;

use super::gguf::Kind;
use crate::compute::dtype::DType;

/// A file's own name for a type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    Safetensors(Dtype),
    Gguf(&'static Kind),
}

impl Encoding {
    /// The type that weights so written have, one value after the other or in whole blocks; none for all others.
    pub(super) fn dtype(self) -> Option<DType> {
        match self {
            Self::Safetensors(Dtype::F32) => Some(DType::F32),
            Self::Safetensors(Dtype::F16) => Some(DType::F16),
            Self::Safetensors(Dtype::BF16) => Some(DType::Bf16),
            Self::Safetensors(_) => None,
            Self::Gguf(kind) => kind.dtype,
        }
    }

    /// Whether it may be a plane of weights that this crate has quantised.
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Self::Safetensors(Dtype::U8))
    }

    /// What weights may be written as, as messages say it.
    pub(super) fn readable(self) -> &'static str {
        match self {
            Self::Safetensors(_) => "f32, f16 or bf16",
            Self::Gguf(_) => super::gguf::READ,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safetensors(dtype) => write!(f, "{dtype}"),
            Self::Gguf(kind) => f.write_str(kind.name),
        }
    }
}
