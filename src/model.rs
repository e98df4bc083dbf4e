//! Models: configuration and checkpoint on disk, weights on a device, forward pass.

#[cfg(feature = "built-in")]
pub mod built_in;
pub mod cache;
pub mod checkpoint;
pub mod config;
mod precision;
pub mod qwen3_5;
pub mod weights;

use std::sync::Arc;

use crate::{
    compute::{backend::Backend, pass::Pass, tensor::Tensor},
    error::Result,
    kernels::operands::{recorder::Recorder, step::Step},
    model::{cache::Cache, checkpoint::Checkpoint},
};
use config::Config;
pub use precision::Precision;
pub use weights::Weights;
use weights::{Progress, Source};

/// A model on a device.
pub struct Model {
    /// The backend that holds the weights.
    pub backend: Arc<dyn Backend>,
    /// The configuration: layers, heads and widths.
    pub config: Config,
    /// The weights on the device.
    pub weights: Weights,
    /// Number of token ids with text. Ids from this number up are never chosen.
    pub vocabulary: u32,
}

impl Model {
    /// Loads a checkpoint's weights onto a device.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn of(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, precision: Precision) -> Result<Self> {
        Self::load(backend, &Source::Checkpoint(checkpoint), precision, &mut |_, _| {})
    }

    /// Loads a model's weights onto a device, tensor by tensor.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for weights that are missing, not finite, or of a wrong shape;
    /// [`crate::Error::Request`] for a type to which weights cannot be converted; [`crate::Error::OutOfMemory`].
    pub fn load(
        backend: &Arc<dyn Backend>,
        source: &Source<'_>,
        precision: impl Into<Precision>,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let config = source.config().clone();
        let weights = Weights::load(backend, source, precision.into(), progress)?;
        Ok(Self { backend: backend.clone(), vocabulary: config.vocabulary, config, weights })
    }

    /// Records the logits of a step's outputs: the requested rows in prefill, all rows in decode. logits
    /// \[outputs, V\] f32.
    pub fn forward(&self, p: &Pass, cache: &mut Cache, step: &Step, logits: &mut Tensor) {
        match &self.weights {
            Weights::Qwen3_5(weights) => qwen3_5::forward(self.recorder(p, step), weights, cache, logits),
        }
    }

    /// Records the logits of all rows of a prefill step, with the same bits as outputs of [`Model::forward`]. logits
    /// \[T, V\] f32.
    pub fn forward_every(&self, p: &Pass, cache: &mut Cache, step: &Step, logits: &mut Tensor) {
        match &self.weights {
            Weights::Qwen3_5(weights) => qwen3_5::forward_every(self.recorder(p, step), weights, cache, logits),
        }
    }

    /// Records the last hidden states of a prefill step's outputs, after the final norm. hidden \[outputs, D\] f32.
    pub fn hidden(&self, p: &Pass, cache: &mut Cache, step: &Step, hidden: &mut Tensor) {
        match &self.weights {
            Weights::Qwen3_5(weights) => qwen3_5::hidden(self.recorder(p, step), weights, cache, hidden),
        }
    }

    /// A recorder of a step, with the type of this model's activations.
    pub fn recorder<'a>(&self, p: &'a Pass, step: &'a Step) -> Recorder<'a> {
        Recorder::new(p, step, self.weights.activations())
    }
}
