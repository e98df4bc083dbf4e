//! Which model on which device: flags, and what they open.

use std::{sync::Arc, time::Instant};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};

use super::{
    output::note,
    progress::{FileBars, LOADING, bar},
};

use bimetal::{
    Backend, BackendChoice, Checkpoint, EngineOptions, Generator, GeneratorOptions, Model, Precision, Result,
    low_level::{
        compute::dtype::DType,
        engine::ALIGN,
        hub, kernels,
        model::{built_in, weights::Source},
    },
    open,
};

/// A chunk of a prompt and one token of a sequence that answers.
const LEAST_BUDGET: i64 = ALIGN as i64 + 1;
/// Far above what makes anything faster.
const MOST_BUDGET: i64 = 1 << 16;

/// Which checkpoint.
#[derive(Args)]
pub struct ModelArguments {
    /// A checkpoint directory, a GGUF file, or OWNER/NAME[@REVISION] on the Hugging Face hub; the built-in model if absent
    #[arg(short, long, value_name = "DIR|GGUF|OWNER/NAME", value_parser = NonEmptyStringValueParser::new())]
    pub model: Option<String>,
}

/// Which device.
#[derive(Args)]
pub struct DeviceArguments {
    /// auto, cpu, wgpu or metal
    #[arg(short, long, default_value = "auto")]
    pub backend: BackendChoice,
    /// Part of a device's name, or its number in `bimetal devices`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub device: Option<String>,
}

/// How an engine is made.
#[derive(Args)]
pub struct EngineArguments {
    /// Most tokens of a text, prompt and answer together
    #[arg(short, long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(16..))]
    pub context: Option<u32>,
    #[command(flatten)]
    pub precision: PrecisionArguments,
    /// Most tokens computed in one step; 2048 on a GPU with memory of its own and 512 elsewhere if absent
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(LEAST_BUDGET..=MOST_BUDGET))]
    pub budget: Option<u32>,
    /// Device memory to use, in MiB; most of what the device has if absent
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub memory: Option<u64>,
}

/// What a model is kept and computed in.
#[derive(Args)]
pub struct PrecisionArguments {
    /// Type of the keys and values that are kept: q8 has 8 bits and a scale for each head
    #[arg(long, default_value = "f16")]
    pub kv: Kept,
    /// Type of what matrix products take; f16 where the device has matrix units and f32 elsewhere if absent
    #[arg(long)]
    pub inputs: Option<Float>,
    /// Quantise large matrices while loading; weights stay as the checkpoint has them if absent
    #[arg(long, value_name = "FORMAT", default_value = "none")]
    pub quant: Quant,
}

impl PrecisionArguments {
    /// The types that a model computes in; what is not given is the device's choice.
    pub fn precision(&self) -> Precision {
        Precision { activations: self.inputs.map(DType::from), weights: self.quant.into() }
    }

    /// The same for programs, with the type of activations that a model got.
    pub fn as_json(&self, activations: DType) -> serde_json::Value {
        let name = |dtype: DType| dtype.to_string();
        serde_json::json!({
            "inputs": name(activations), "kv": name(self.kv.into()),
            "quant": Option::<DType>::from(self.quant).map_or("none".into(), name),
        })
    }
}

/// A float type that can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Float {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
}

impl From<Float> for DType {
    fn from(float: Float) -> Self {
        match float {
            Float::F16 => DType::F16,
            Float::F32 => DType::F32,
        }
    }
}

/// A type of keys and values that can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kept {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
    /// 8 bits, and a scale for each head.
    Q8,
}

impl From<Kept> for DType {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::F16 => DType::F16,
            Kept::F32 => DType::F32,
            Kept::Q8 => DType::Q8Heads,
        }
    }
}

/// A format of quantised weights that can be chosen, or none.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quant {
    /// Weights as the checkpoint has them.
    None,
    /// 8 bits a weight, and 16 for each 32 of them.
    Q8,
    /// 4 bits a weight, and 9 for each 16 of them.
    Q4,
}

impl From<Quant> for Option<DType> {
    fn from(quant: Quant) -> Self {
        match quant {
            Quant::None => None,
            Quant::Q8 => Some(DType::Q8),
            Quant::Q4 => Some(DType::Q4),
        }
    }
}

impl EngineArguments {
    /// For `sequences` sequences and as many snapshots of them as `snapshots` says.
    pub fn options(&self, sequences: u32, snapshots: u32) -> GeneratorOptions {
        let engine = EngineOptions {
            context: self.context,
            budget: self.budget,
            sequences,
            snapshots,
            kv: self.precision.kv.into(),
            memory: self.memory.map(|mebibytes| mebibytes << 20),
        };
        GeneratorOptions { precision: self.precision.precision(), engine }
    }
}

impl ModelArguments {
    /// What the model is called in messages.
    pub fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(built_in::NAME)
    }

    /// The checkpoint, downloaded where it is on the hub, with a progress bar for each file on a terminal.
    pub fn open(&self) -> Result<Checkpoint> {
        let Some(model) = &self.model else { return built_in::open() };
        let mut bars = FileBars::default();
        let path = hub::locate(model, &mut |file, done, total| bars.show(file, done, total))?;
        let checkpoint = Checkpoint::open(&path)?;
        checkpoint.check()?;
        Ok(checkpoint)
    }
}

impl DeviceArguments {
    /// Opens the device and says on stderr which one and why.
    pub fn open(&self) -> Result<Arc<dyn Backend>> {
        let started = Instant::now();
        let opened = open(self.backend, self.device.as_deref())?;
        log::debug!("device in {:.1?}", started.elapsed());
        let caps = opened.backend.caps();
        note(&format!("{}: {} ({}), {}", caps.backend, caps.device, caps.driver, opened.why));
        for (who, why) in &opened.skipped {
            log::info!("not {who}: {why}");
        }
        if let Some(caches) = dirs::cache_dir() {
            opened.backend.keep_pipelines(&caches.join("bimetal"), kernels::fingerprint());
        }
        Ok(opened.backend)
    }
}

/// Puts weights on a device, with a progress bar on a terminal.
pub fn weights(backend: &Arc<dyn Backend>, source: &Source<'_>, precision: Precision) -> Result<Arc<Model>> {
    let bar = bar(LOADING, 0);
    let model = Model::load(backend, source, precision, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    model.map(Arc::new)
}

/// Puts a checkpoint on a device, with a progress bar on a terminal.
pub fn load(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, options: GeneratorOptions) -> Result<Generator> {
    let bar = bar(LOADING, 0);
    Generator::new(backend, checkpoint, options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
}
