//! The target of a measurement: a model, a device, and engine options.

use std::{borrow::Cow, sync::Arc};

use bimetal::{
    Backend, Checkpoint, Error, Model, Precision, Result,
    low_level::{
        compute::caps::Caps,
        model::{cache::PAGE, config::Config, weights::Source},
    },
    measure::chips::{self, Chip},
};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::model::{DeviceArguments, EngineArguments, ModelArguments, weights};

/// Flags of every measurement.
#[derive(Args)]
pub struct Target {
    #[command(flatten)]
    model: ModelArguments,
    /// Random weights of a published model size instead of a checkpoint
    #[arg(long, conflicts_with = "model", value_parser = Config::NAMES)]
    shape: Option<String>,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The source of a model.
pub enum Origin {
    /// A checkpoint.
    Checkpoint(Checkpoint),
    /// Random weights of a published model size.
    Random(Config),
}

impl Origin {
    /// The source to load weights from.
    pub fn source(&self) -> Source<'_> {
        match self {
            Origin::Checkpoint(checkpoint) => Source::Checkpoint(checkpoint),
            Origin::Random(config) => Source::Random(config),
        }
    }

    /// The model's configuration.
    pub fn config(&self) -> &Config {
        match self {
            Origin::Checkpoint(checkpoint) => checkpoint.config(),
            Origin::Random(config) => config,
        }
    }
}

impl Target {
    /// The model's name in messages.
    pub fn name(&self) -> Cow<'_, str> {
        self.shape.as_deref().map_or_else(|| self.model.name(), Cow::from)
    }

    /// Whether the weights are random.
    pub fn is_random(&self) -> bool {
        self.shape.is_some()
    }

    /// Opens the checkpoint, or finds the published model size.
    pub fn open(&self) -> Result<Origin> {
        let Some(shape) = &self.shape else { return self.model.open().map(Origin::Checkpoint) };
        let unknown = || Error::Request(format!("--shape {shape} is not one of {}", Config::NAMES.join(", ")));
        Config::named(shape).ok_or_else(unknown).map(Origin::Random)
    }

    /// Loads the model onto a device, with a progress bar on a terminal.
    pub fn load(&self, backend: &Arc<dyn Backend>, origin: &Origin, precision: Precision) -> Result<Arc<Model>> {
        weights(backend, &origin.source(), precision)
    }

    /// The context to plan for `needed` tokens. `flags` are the flags that need them.
    ///
    /// # Errors
    /// [`Error::Request`] if the model or --context allows fewer tokens.
    pub fn context(&self, config: &Config, needed: u32, flags: &str) -> Result<u32> {
        let refuse = |whose: &str, has: u32| {
            let what = format!("{flags} ask for a context of {needed} tokens, and {whose} has {has}");
            Err(Error::Request(format!("{what}; give shorter lengths")))
        };
        match self.engine.context {
            _ if needed > config.context => refuse("the model's", config.context),
            Some(context) if needed > context => refuse("--context", context),
            Some(context) => Ok(context.min(config.context)),
            None => Ok(needed.next_multiple_of(PAGE).min(config.context)),
        }
    }

    /// The head of a JSON report: model and device.
    pub fn heading(&self, caps: &Caps) -> Map<String, Value> {
        let heading =
            json!({ "backend": caps.backend, "device": caps.device, "driver": caps.driver, "model": self.name() });
        let Value::Object(heading) = heading else { unreachable!("an object was made") };
        heading
    }
}

/// The chip of the roofline: the named one, or the device's if known.
pub fn chip(name: Option<&str>, caps: &Caps) -> Result<Option<&'static Chip>> {
    name.map_or_else(|| Ok(chips::of_device(&caps.device)), |name| chips::named(name).map(Some))
}
