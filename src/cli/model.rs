//! Flags for the model, the device and the engine, and functions that open them.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use bimetal::{
    Backend, BackendChoice, Checkpoint, EngineOptions, Generator, GeneratorOptions, Model, Precision, Result,
    low_level::{
        compute::dtype::DType,
        engine::ALIGN,
        kernels,
        model::{built_in, weights::Source},
    },
    open,
};
use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};

use super::{located, output::note, progress::Loading, values::whole};

/// Lower limit of the budget: one prompt chunk, and one token of a decoding sequence.
const MIN_BUDGET: u64 = ALIGN as u64 + 1;
/// Upper limit of the budget, far above any benefit: the rows of a grid on every device.
const MAX_BUDGET: u64 = (1 << 16) - 1;

/// Flags for the checkpoint.
#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArguments {
    /// A checkpoint directory, a GGUF file, or a model on the hub: OWNER/NAME, OWNER/NAME:QUANT or OWNER/NAME/FILE.gguf,
    /// each with @REVISION if it is not the newest; the built-in model if absent
    #[arg(short, long, value_name = "DIR|GGUF|OWNER/NAME")]
    pub model: Option<PathBuf>,
}

/// Flags for the device.
#[derive(Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArguments {
    /// Backend: auto, cpu, wgpu or metal
    #[arg(short, long, default_value = "auto")]
    pub backend: BackendChoice,
    /// Part of a device's name, or its number in `bimetal devices`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub device: Option<String>,
}

/// Flags for the engine.
#[derive(Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArguments {
    /// Maximum tokens of a text, prompt and answer together [default: the model's, at most 8192]
    #[arg(short, long, value_name = "TOKENS", aliases = ["ctx-size", "context-length", "max-context", "num-ctx"], value_parser = whole::<u32>(16..=u64::from(u32::MAX), "leave it out for the default"))]
    pub context: Option<u32>,
    #[command(flatten)]
    pub precision: PrecisionArguments,
    /// Maximum tokens per step; if absent, 2048 on a GPU with its own memory and 512 elsewhere
    #[arg(long, value_name = "TOKENS", value_parser = whole::<u32>(MIN_BUDGET..=MAX_BUDGET, "leave it out for the default"))]
    pub budget: Option<u32>,
    /// Device memory to use, in MiB; if absent, most of the device's memory
    #[arg(long, value_name = "MIB", value_parser = whole::<u64>(1..=1 << 30, "leave it out for most of the device's memory"))]
    pub memory: Option<u64>,
}

/// Flags for data types.
#[derive(Args)]
#[command(next_help_heading = "Engine")]
pub struct PrecisionArguments {
    /// Type of the KV cache: q8 has 8 bits per value and one scale per head
    #[arg(long, default_value = "f16")]
    pub kv: Kept,
    /// Type of matrix product inputs; if absent, f16 on devices with matrix units and f32 elsewhere
    #[arg(long)]
    pub inputs: Option<Float>,
    /// Quantize large matrices while loading; none keeps the checkpoint's types
    #[arg(long, value_name = "FORMAT", default_value = "none")]
    pub quant: Quant,
}

impl PrecisionArguments {
    /// The data types of the model; the device chooses those that no flag sets.
    pub fn precision(&self) -> Precision {
        Precision { activations: self.inputs.map(DType::from), weights: self.quant.into() }
    }

    /// The same as JSON, with the activation type that the model got.
    pub fn as_json(&self, activations: DType) -> serde_json::Value {
        let name = |dtype: DType| dtype.to_string();
        serde_json::json!({
            "inputs": name(activations), "kv": name(self.kv.into()),
            "quant": Option::<DType>::from(self.quant).map_or("none".into(), name),
        })
    }
}

/// A float type for a flag.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Float {
    /// f16.
    F16,
    /// f32.
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

/// A type of keys and values for a flag.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kept {
    /// f16.
    F16,
    /// f32.
    F32,
    /// 8 bits per value, and one scale per head.
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

/// A format of quantized weights for a flag, or none.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quant {
    /// The checkpoint's types.
    None,
    /// 8 bits per weight, and 16 bits per 32 weights.
    Q8,
    /// 4 bits per weight, and 9 bits per 16 weights.
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
    /// EngineOptions for `sequences` sequences, each with `snapshots` snapshots.
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
    /// The model's name in messages.
    pub fn name(&self) -> Cow<'_, str> {
        self.model.as_deref().map_or(built_in::NAME.into(), Path::to_string_lossy)
    }

    /// Opens the checkpoint. Downloads it from the hub if needed, and shows that.
    pub fn open(&self) -> Result<Checkpoint> {
        let Some(model) = &self.model else { return built_in::open() };
        let checkpoint = Checkpoint::open(&located::path(model)?)?;
        checkpoint.check()?;
        Ok(checkpoint)
    }
}

impl DeviceArguments {
    /// Opens the device, and writes to stderr which one and why.
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

/// Loads weights onto a device, with a progress bar on a terminal.
pub fn weights(backend: &Arc<dyn Backend>, source: &Source<'_>, precision: Precision) -> Result<Arc<Model>> {
    let mut bar = Loading::default();
    let model = Model::load(backend, source, precision, &mut |done, total| bar.show(done, total));
    model.map(Arc::new)
}

/// Loads a checkpoint onto a device, with a progress bar on a terminal.
pub fn load(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, options: GeneratorOptions) -> Result<Generator> {
    let mut bar = Loading::default();
    Generator::new(backend, checkpoint, options, &mut |done, total| bar.show(done, total))
}
