//! Models: the configuration and the checkpoint on disk, the weights on a device, the forward pass.

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
    kernels::operands::step::Step,
    model::{cache::Cache, checkpoint::Checkpoint},
};
use config::Config;
pub use precision::Precision;
pub use weights::Weights;
use weights::{Progress, Source};

/// A model on a device.
pub struct Model {
    /// Where it is.
    pub backend: Arc<dyn Backend>,
    /// Its shape.
    pub config: Config,
    /// Its weights.
    pub weights: Weights,
    /// Ids below this have text; what is above is never chosen.
    pub vocabulary: u32,
}

impl Model {
    /// Puts a checkpoint's weights on a device.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn of(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, precision: Precision) -> Result<Self> {
        Self::load(backend, &Source::Checkpoint(checkpoint), precision, &mut |_, _| {})
    }

    /// Puts a model's weights on a device, tensor by tensor.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for weights that are missing, misshapen or not finite; [`crate::Error::Request`] for a
    /// format that weights cannot be brought to; [`crate::Error::OutOfMemory`].
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

    /// Records the logits of a step's outputs: the rows that want them in a prompt, every row in a decode step. logits
    /// \[outputs, V\] f32.
    pub fn forward(&self, p: &Pass, cache: &mut Cache, step: &Step, logits: &mut Tensor) {
        match &self.weights {
            Weights::Qwen3_5(weights) => qwen3_5::forward(p, weights, cache, step, logits),
        }
    }

    /// Records the logits of every row of a prompt, each the same bits as if it were an output of [`Model::forward`].
    /// logits \[T, V\] f32.
    pub fn forward_every(&self, p: &Pass, cache: &mut Cache, step: &Step, logits: &mut Tensor) {
        match &self.weights {
            Weights::Qwen3_5(weights) => qwen3_5::forward_every(p, weights, cache, step, logits),
        }
    }
}
