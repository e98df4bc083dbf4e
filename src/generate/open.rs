//! Opens a model by name or path, on the best device of this machine.

#[cfg(not(feature = "hub"))]
use super::local as hub;
use super::{Generator, GeneratorOptions};
#[cfg(feature = "hub")]
use crate::hub;
use crate::{
    compute::devices::{BackendChoice, open},
    error::Result,
    model::checkpoint::Checkpoint,
};

impl Generator {
    /// Opens a model on the best device of this machine: `OWNER/NAME` on the hub, with or without a GGUF
    /// file's `:QUANT` or `/FILE.gguf` and an `@REVISION`; a checkpoint directory, or a GGUF file. All options have their defaults, which depend on the device.
    ///
    /// # Errors
    /// [`crate::Error::Download`]; those of [`Checkpoint::open`], [`Checkpoint::check`] and [`Generator::new`].
    /// [`crate::Error::Unsupported`] for a model on the hub in a build without the feature `hub`.
    pub fn open(model: &str) -> Result<Self> {
        let checkpoint = Checkpoint::open(&hub::locate(model, &mut |_| {})?)?;
        checkpoint.check()?;
        Self::on_best_device(&checkpoint)
    }

    /// Loads a checkpoint onto the best device of this machine.
    pub(super) fn on_best_device(checkpoint: &Checkpoint) -> Result<Self> {
        let backend = open(BackendChoice::Auto, None)?.backend;
        Self::new(&backend, checkpoint, GeneratorOptions::default(), &mut |_, _| {})
    }
}
