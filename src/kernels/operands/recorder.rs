//! Where an operation records, and what all operations of a forward pass share.

use crate::{
    compute::{
        caps::Caps,
        dtype::DType,
        kernel::Kernel,
        pass::{Builder, Pass},
        tensor::Tensor,
    },
    kernels::operands::step::{Rows, Step},
};

/// Where an operation records, and what all operations of a forward pass share.
#[derive(Clone, Copy)]
pub struct Recorder<'a> {
    /// The recording.
    pub pass: &'a Pass,
    /// The step whose rows the operation processes.
    pub step: &'a Step,
    /// The type in which kernels write rows for a matrix product: f32, f16 for matrix units, or packed.
    pub activations: DType,
}

impl<'a> Recorder<'a> {
    /// A recorder of this step.
    pub fn new(pass: &'a Pass, step: &'a Step, activations: DType) -> Self {
        Self { pass, step, activations }
    }

    /// The same recorder for the rows of another step.
    pub fn with_step(self, step: &'a Step) -> Self {
        Self { step, ..self }
    }

    /// The same recorder, whose kernels write rows of this type.
    pub fn with_activations(self, activations: DType) -> Self {
        Self { activations, ..self }
    }

    /// How products process the rows of the step.
    pub fn rows(self) -> Rows {
        self.step.rows()
    }

    /// The backend's capabilities.
    pub fn caps(self) -> &'a Caps {
        self.pass.caps()
    }

    /// A tensor for intermediate results. Dropping it frees its memory for later tensors.
    pub fn scratch(self, shape: [u32; 2], dtype: DType) -> Tensor {
        self.pass.scratch(shape, dtype)
    }

    /// Starts a dispatch of `kernel`; [`Builder::grid`] completes it.
    pub fn dispatch(self, kernel: &'static Kernel) -> Builder<'a> {
        self.pass.dispatch(kernel)
    }

    /// Names a tensor's contents at this point of the recording.
    pub fn mark(self, name: impl Into<String>, tensor: &Tensor) {
        self.pass.mark(name, tensor);
    }
}
