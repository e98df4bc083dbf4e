//! The data types that a model computes in.

use crate::compute::{caps::Caps, dtype::DType};

/// The data types that a model computes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Precision {
    /// Input type of matrix products: f32 for full precision, or f16 for matrix units. `None` lets the device choose:
    /// f16 with matrix units, f32 without.
    pub activations: Option<DType>,
    /// Format of large matrices, quantized during loading: [`DType::Q8`] or [`DType::Q4`]. `None` keeps the
    /// checkpoint's types.
    pub weights: Option<DType>,
}

impl Precision {
    /// The activation type on a device: the chosen one, or the device's default.
    pub fn activations_on(&self, caps: &Caps) -> DType {
        let suited = if caps.matrix_units.is_some() { DType::F16 } else { DType::F32 };
        self.activations.unwrap_or(suited)
    }
}

/// This activation type, with the checkpoint's weight types.
impl From<DType> for Precision {
    fn from(activations: DType) -> Self {
        Self { activations: Some(activations), weights: None }
    }
}
