//! `info`: the sizes of a checkpoint, and the memory it needs, without loading it.

use bimetal::{
    Result,
    low_level::model::{
        cache::{PAGE, Plan},
        checkpoint::Summary,
        config::{Config, LayerKind},
    },
};
use clap::Args;
use serde_json::json;

use super::{
    model::{Kept, ModelArguments},
    output::{print, print_json},
    table::table,
};

/// Flags of `info`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Context length to compute memory for; several lengths up to the model's maximum if absent
    #[arg(short, long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(16..))]
    context: Option<u32>,
    /// Type of the KV cache: q8 has 8 bits per value and one scale per head
    #[arg(long, default_value = "f16")]
    kv: Kept,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the contents of a checkpoint.
pub fn run(arguments: &Arguments) -> Result<()> {
    let summary = arguments.model.open()?.summary();
    let lengths = match arguments.context {
        Some(context) => vec![context],
        None => [4096, 32_768, 262_144]
            .into_iter()
            .filter(|c| *c < summary.config.context)
            .chain([summary.config.context])
            .collect(),
    };
    let memory: Vec<_> = lengths.iter().map(|context| (*context, cache(&summary, *context, arguments.kv))).collect();
    if arguments.json {
        return print_json(&as_json(&summary, &memory));
    }
    print(&text(&arguments.model.name(), &summary, &memory))
}

/// Bytes of cache for one sequence, by context length.
fn cache(summary: &Summary, context: u32, kv: Kept) -> u64 {
    let plan = Plan { context, pages: context.div_ceil(PAGE), slots: 1, kv: kv.into() };
    plan.bytes(&summary.config)
}

fn text(name: &str, summary: &Summary, memory: &[(u32, u64)]) -> String {
    let mut lines = vec![format!("{name}: {:.1} M parameters", summary.total_parameters() as f64 / 1e6)];
    lines.extend(shape(&summary.config));
    let files = summary.files.iter();
    lines.extend(files.map(|(path, bytes)| format!("file           {}, {}", path.display(), size(*bytes))));
    let skipped = summary.skipped.iter();
    lines.extend(
        skipped.map(|(what, (tensors, bytes))| format!("not loaded     {what}: {tensors} tensors, {}", size(*bytes))),
    );
    let parts = summary.parameters.iter().map(|(part, count)| vec![part.to_string(), count.to_string()]);
    let types = summary.bytes.iter().map(|(dtype, bytes)| vec![dtype.to_string(), size(*bytes)]);
    let weights: u64 = summary.bytes.values().sum();
    let needs = memory.iter().map(|(context, cache)| vec![context.to_string(), size(*cache), size(weights + cache)]);
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

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
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
