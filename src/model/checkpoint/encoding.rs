//! The stored type of a tensor, in either file format.

use std::fmt;

use safetensors::tensor::Dtype;

use super::gguf::Kind;
use crate::compute::dtype::DType;

/// A type in a file's own terms.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    Safetensors(Dtype),
    Gguf(&'static Kind),
}

impl Encoding {
    /// The dtype of weights in this encoding, plain or in whole blocks. `None` if not supported.
    pub(super) fn dtype(self) -> Option<DType> {
        match self {
            Self::Safetensors(Dtype::F32) => Some(DType::F32),
            Self::Safetensors(Dtype::F16) => Some(DType::F16),
            Self::Safetensors(Dtype::BF16) => Some(DType::Bf16),
            Self::Safetensors(_) => None,
            Self::Gguf(kind) => kind.dtype,
        }
    }

    /// Whether it may be a plane of weights that this crate quantized.
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Self::Safetensors(Dtype::U8))
    }

    /// The supported types, for messages.
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
