//! The types that a model computes in.

use crate::compute::{caps::Caps, dtype::DType};

/// The types that a model computes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Precision {
    /// Type of the rows that matrix products take: f32 for full precision, or f16, which matrix units need. `None` asks the
    /// device: f16 where it has matrix units, f32 elsewhere.
    pub activations: Option<DType>,
    /// Format to which large matrices are quantized while they are loaded: [`DType::Q8`] or [`DType::Q4`]. `None` keeps
    /// the checkpoint's types.
    pub weights: Option<DType>,
}

impl Precision {
    /// The type of activations on a device: the one that is named, or else the one that suits the device.
    pub fn activations_on(&self, caps: &Caps) -> DType {
        let suited = if caps.matrix_units.is_some() { DType::F16 } else { DType::F32 };
        self.activations.unwrap_or(suited)
    }
}

/// Activations of this type, with weights as the checkpoint has them.
impl From<DType> for Precision {
    fn from(activations: DType) -> Self {
        Self { activations: Some(activations), weights: None }
    }
}
