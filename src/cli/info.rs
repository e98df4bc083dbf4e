//! `info`: the sizes of a checkpoint, and the memory it needs, without loading it.

use std::collections::BTreeMap;

use bimetal::{
    EngineOptions, Error, Result,
    low_level::{
        compute::{devices::devices, dtype::DType},
        hub::size_text as size,
        model::{
            cache::{PAGE, Plan},
            checkpoint::{Summary, expected},
            config::{Config, LayerKind},
        },
    },
};
use clap::Args;
use indicatif::HumanCount;
use serde_json::json;

use super::{
    located,
    model::{Kept, ModelArguments},
    output::{print, print_json},
    table::table,
    values::whole,
};

/// Flags of `info`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// A published model size in bf16 instead of a checkpoint
    #[arg(long, conflicts_with = "model", value_parser = Config::NAMES)]
    shape: Option<String>,
    /// Context length to compute memory for; several lengths up to the model's maximum if absent
    #[arg(short, long, value_name = "TOKENS", alias = "ctx-size", value_parser = whole::<u32>(16..=u64::from(u32::MAX), "leave it out for several lengths"))]
    context: Option<u32>,
    /// Type of the KV cache: q8 has 8 bits per value and one scale per head
    #[arg(long, default_value = "f16")]
    kv: Kept,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the contents of a checkpoint, of which only headers are read.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (name, summary) = match (&arguments.shape, &arguments.model.model) {
        (Some(shape), _) => (shape.as_str().into(), published(shape)?),
        (None, Some(model)) => (arguments.model.name(), located::summary(model)?),
        (None, None) => (arguments.model.name(), arguments.model.open()?.summary()),
    };
    if let Some(context) = arguments.context {
        summary.config.require_context(context)?;
    }
    let lengths = match arguments.context {
        Some(context) => vec![context],
        None => [4096, 32_768, 262_144]
            .into_iter()
            .filter(|c| *c < summary.config.context)
            .chain([summary.config.context])
            .collect(),
    };
    let memory: Vec<_> = lengths.iter().map(|context| (*context, cache(&summary, *context, arguments.kv))).collect();
    let fit = Fit::of(&summary, arguments.kv);
    if arguments.json {
        let mut json = as_json(&summary, &memory);
        json["device"] = fit.map(|fit| fit.as_json()).into();
        return print_json(&json);
    }
    let fit = fit.map_or(String::new(), |fit| format!("\n{}\n", fit.text()));
    print(&(text(&name, &summary, &memory) + &fit))
}

/// The contents of a published model size, with weights in bf16.
fn published(shape: &str) -> Result<Summary> {
    let unknown = || Error::Request(format!("--shape {shape} is not one of {}", Config::NAMES.join(", ")));
    let config = Config::named(shape).ok_or_else(unknown)?;
    let mut parameters = BTreeMap::new();
    for tensor in expected(&config) {
        *parameters.entry(tensor.part).or_default() += tensor.shape.iter().product::<usize>() as u64;
    }
    let bytes = BTreeMap::from([(DType::Bf16, 2 * parameters.values().sum::<u64>())]);
    Ok(Summary { config, parameters, bytes, skipped: BTreeMap::new(), files: Vec::new() })
}

/// Whether a model fits the device that is taken by itself.
struct Fit {
    device: String,
    /// Bytes that the engine takes of the device's memory by default.
    usable: u64,
    weights: u64,
    /// The same in 4 bits; `None` for weights that are quantized already.
    in_q4: Option<u64>,
    /// The longest context that fits; 0 if the weights alone do not.
    context: u32,
    longest: u32,
}

impl Fit {
    /// `None` if the memory of the device is unknown.
    fn of(summary: &Summary, kv: Kept) -> Option<Fit> {
        let entry = devices().into_iter().find(|entry| entry.auto)?;
        let (usable, weights) = (EngineOptions::usable_memory(&entry.caps)?, summary.bytes.values().sum());
        let (mut fits, mut too_long) = (0, summary.config.context + 1);
        while too_long - fits > 1 {
            let context = fits + (too_long - fits) / 2;
            match weights + cache(summary, context, kv) <= usable {
                true => fits = context,
                false => too_long = context,
            }
        }
        let device = format!("{} ({})", entry.caps.device, entry.caps.backend);
        let quantized = summary.bytes.keys().any(|dtype| dtype.is_quantized());
        // 4 bits, and 9 bits for each block of 16.
        let in_q4 = (!quantized).then(|| summary.total_parameters() * 73 / 128);
        Some(Fit { device, usable, weights, in_q4, context: fits, longest: summary.config.context })
    }

    fn text(&self) -> String {
        let Fit { device, usable, context, longest, .. } = self;
        let tokens = HumanCount((*context).into()).to_string();
        let verdict = match context {
            0 => format!("no: the weights take {}{}", size(self.weights), self.advice()),
            context if context == longest => format!("yes, with the whole context of {tokens} tokens"),
            _ => format!("yes, with a context of {tokens} tokens at most"),
        };
        format!("this device    {device}, {} usable\nfits           {verdict}", size(*usable))
    }

    /// How much less the weights take in 4 bits, if they are not quantized yet.
    fn advice(&self) -> String {
        match self.in_q4 {
            Some(bytes) if bytes < self.usable => format!("; --quant q4 takes about {}", size(bytes)),
            Some(bytes) => format!(", and with --quant q4 about {}", size(bytes)),
            None => String::new(),
        }
    }

    fn as_json(&self) -> serde_json::Value {
        let Fit { device, usable, context, .. } = self;
        json!({ "name": device, "usable_bytes": usable, "fits": *context > 0, "max_context": context })
    }
}

/// Bytes of cache for one sequence, by context length.
fn cache(summary: &Summary, context: u32, kv: Kept) -> u64 {
    let plan = Plan { context, pages: context.div_ceil(PAGE), slots: 1, kv: kv.into() };
    plan.bytes(&summary.config)
}

fn text(name: &str, summary: &Summary, memory: &[(u32, u64)]) -> String {
    let mut lines = vec![format!("{name}: {} parameters", scaled(summary.total_parameters()))];
    lines.extend(shape(&summary.config));
    let files = summary.files.iter();
    lines.extend(files.map(|(path, bytes)| format!("file           {}, {}", path.display(), size(*bytes))));
    let skipped = summary.skipped.iter();
    lines.extend(
        skipped.map(|(what, (tensors, bytes))| format!("not loaded     {what}: {tensors} tensors, {}", size(*bytes))),
    );
    let parts = summary.parameters.iter().map(|(part, count)| vec![part.to_string(), HumanCount(*count).to_string()]);
    let types = summary.bytes.iter().map(|(dtype, bytes)| vec![dtype.to_string(), size(*bytes)]);
    let weights: u64 = summary.bytes.values().sum();
    let needs = memory
        .iter()
        .map(|(context, cache)| vec![HumanCount((*context).into()).to_string(), size(*cache), size(weights + cache)]);
    let tables = [
        table(&["part", "parameters"], &parts.collect::<Vec<_>>()),
        table(&["stored as", "size"], &types.collect::<Vec<_>>()),
        table(&["context", "cache", "with weights"], &needs.collect::<Vec<_>>()),
    ];
    format!("{}\n\n{}", lines.join("\n"), tables.join("\n"))
}

fn shape(config: &Config) -> [String; 6] {
    let (full, all) = (config.count(LayerKind::Full), config.layers.len());
    let head = if config.tied { "the embedding is the output head" } else { "an output head of its own" };
    [
        format!("layers         {all}: {full} of gated attention, {} of gated DeltaNet", all - full),
        format!("width          {}, {} in the MLP", config.hidden, config.intermediate),
        format!("attention      {} query and {} key heads of {}", config.query_heads, config.kv_heads, config.head_dim),
        format!(
            "DeltaNet       {} key heads of {}, {} value heads of {}",
            config.key_heads, config.key_head_dim, config.value_heads, config.value_head_dim
        ),
        format!("vocabulary     {}, {head}", config.vocabulary),
        format!("context        {} tokens", config.context),
    ]
}

/// A number of parameters in words.
fn scaled(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1} K", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.1} B", count as f64 / 1e9),
    }
}

fn as_json(summary: &Summary, memory: &[(u32, u64)]) -> serde_json::Value {
    let config = &summary.config;
    let named = |pairs: Vec<(String, u64)>| {
        pairs.into_iter().map(|(name, count)| (name, count.into())).collect::<serde_json::Map<_, _>>()
    };
    json!({
        "parameters": summary.total_parameters(),
        "layers": config.layers.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect::<Vec<_>>(),
        "hidden": config.hidden, "intermediate": config.intermediate, "vocabulary": config.vocabulary,
        "context": config.context, "tied": config.tied,
        "parts": named(summary.parameters.iter().map(|(part, count)| (part.to_string(), *count)).collect()),
        "bytes": named(summary.bytes.iter().map(|(dtype, bytes)| (dtype.to_string(), *bytes)).collect()),
        "memory": memory.iter().map(|(context, cache)| json!({ "context": context, "cache_bytes": cache })).collect::<Vec<_>>(),
    })
}
