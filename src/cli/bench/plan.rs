//! `bench --plan`: the cost of a step, without the device.

use bimetal::{
    Backend, BackendChoice, Error, Result,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cost::Cost,
            cpu::Cpu,
        },
        engine::DryEngine,
        model::weights::Source,
    },
    measure::{
        chips::{self, Chip},
        cost_table::{CostTable, Entry},
    },
};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Arguments, largest};
use crate::cli::{
    output::{print, print_json},
    table::table,
};

/// Flags of `bench --plan`.
#[derive(Args)]
pub struct PlanArguments {
    /// Run nothing and need no device: count the cost of a decode step (-s, -d) and a prompt's last chunk (--budget,
    /// -d)
    #[arg(long, groups = ["instead", "dispatches"], conflicts_with_all = ["device", "prompt", "decode", "repeat"])]
    pub plan: bool,
    /// With --plan: the kind of GPU to record wgpu dispatches for
    #[arg(long, value_name = "KIND", default_value = "discrete", requires = "plan")]
    gpu: Gpu,
}

/// A kind of GPU.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Gpu {
    /// With its own memory
    Discrete,
    /// With memory shared with the host
    Integrated,
    /// Emulated on the host's cores
    Software,
}

/// A planned step: its name, its output tokens, its costs.
struct Step {
    name: String,
    tokens: u32,
    cost_table: CostTable,
}

/// Plans the steps and prints them.
pub fn run(arguments: &Arguments) -> Result<()> {
    let caps = caps(arguments);
    let chosen = arguments.chip.as_deref().map(chips::named).transpose()?;
    let steps = steps(arguments, &caps, &arguments.target.open()?.source())?;
    if arguments.target.json {
        let steps: Vec<_> = steps.iter().map(|step| as_json(step, caps.backend, chosen)).collect();
        return print_json(&json!({ "backend": caps.backend, "device": caps.device, "steps": steps }));
    }
    let heading = format!("{} through {} on {}: nothing is run\n", arguments.target.name(), caps.backend, caps.device);
    let tables = steps.iter().map(|step| show(step, chosen));
    print(
        &[heading]
            .into_iter()
            .chain(tables)
            .chain([chosen.map_or_else(|| rooflines(&steps, caps.backend), origin)])
            .collect::<String>(),
    )
}

/// The device to record for.
fn caps(arguments: &Arguments) -> Caps {
    let kind = match arguments.plan.gpu {
        Gpu::Discrete => DeviceKind::Discrete,
        Gpu::Integrated => DeviceKind::Integrated,
        Gpu::Software => DeviceKind::Software,
    };
    match arguments.target.device.backend {
        BackendChoice::Cpu => Cpu::default().caps().clone(),
        BackendChoice::Metal => Caps::apple(),
        BackendChoice::Auto | BackendChoice::Wgpu => Caps::typical("wgpu", kind),
    }
}

/// A decode step per depth and number of sequences, and a prompt's last chunk per depth.
fn steps(arguments: &Arguments, caps: &Caps, source: &Source<'_>) -> Result<Vec<Step>> {
    let budget = arguments.target.engine.options(1, 0).engine.budget_on(caps);
    let Arguments { sequences, depth: depths, .. } = arguments;
    let mut options = arguments.target.engine.options(largest(sequences), 0);
    let needed = DryEngine::context(largest(sequences), largest(depths), budget);
    let needed = needed.max(largest(depths).saturating_add(budget).saturating_add(1));
    if needed > source.config().context {
        let context = source.config().context;
        let what = format!("depths and --budget take {needed} tokens; the model's context holds {context}");
        return Err(Error::Request(what));
    }
    options.engine.context = options.engine.context.or(Some(needed.next_multiple_of(16)));
    let mut dry_engine = DryEngine::new(caps.clone(), source, options.precision, options.engine)?;
    let mut steps = Vec::new();
    for &depth in depths {
        for &sequences in sequences {
            let cost_table = CostTable::of(&dry_engine.decode(sequences, depth)?);
            steps.push(Step { name: format!("decode @ d{depth} x{sequences}"), tokens: sequences, cost_table });
        }
        let cost_table = CostTable::of(&dry_engine.prefill(budget, depth)?);
        steps.push(Step { name: format!("prompt {budget} @ d{depth}"), tokens: budget, cost_table });
    }
    Ok(steps)
}

const HEADING: [&str; 10] = [
    "kernel",
    "dispatches",
    "barriers",
    "MB of weights",
    "of activations read",
    "written",
    "of cache read",
    "written",
    "GFLOP in f32",
    "for matrix units",
];

fn show(Step { name, cost_table, tokens }: &Step, chip: Option<&Chip>) -> String {
    let rows = cost_table.kernels().into_iter().chain([cost_table.total()]).map(|entry| {
        let Cost { weights, activations, cache, flops } = entry.cost;
        let mut cells = vec![entry.name().to_string(), entry.dispatches.to_string(), entry.barriers.to_string()];
        let moved = [weights, activations.read, activations.written, cache.read, cache.written];
        cells.extend(moved.map(|bytes| format!("{:.3}", bytes as f64 / 1e6)));
        cells.extend([flops.vector, flops.matrix].map(|flops| format!("{:.4}", flops as f64 / 1e9)));
        cells.extend(chip.map(|chip| format!("{:.1}", cost_table.roofline(chip, entry.kernel) * 1e6)));
        cells
    });
    let heading: Vec<_> = HEADING.into_iter().chain(chip.map(|_| "roofline µs")).collect();
    let title = format!("\n{name}: {} submissions, {} host waits\n", cost_table.submissions, cost_table.waits);
    let roofline = chip.map(|chip| {
        let seconds = cost_table.roofline(chip, None);
        format!("roofline on {}: {:.3} ms, {:.0} tok/s\n", chip.name, seconds * 1e3, f64::from(*tokens) / seconds)
    });
    title + &table(&heading, &rows.collect::<Vec<_>>()) + &roofline.unwrap_or_default()
}

/// The peaks of a chip, and their source.
fn origin(chip: &Chip) -> String {
    let Chip { name, bandwidth, vector, matrix, sources, note } = chip;
    let peaks = format!("{name}: {bandwidth} GB/s, {vector} TFLOP/s in f32, {matrix} for matrix units");
    let lines = [&peaks].into_iter().chain(sources).chain((!note.is_empty()).then_some(note));
    format!("\n{}\n", lines.map(String::as_str).collect::<Vec<_>>().join("\n"))
}

/// One line per chip of the backend: the roofline time of each step in ms, and its tokens per second.
fn rooflines(steps: &[Step], backend: &str) -> String {
    let columns = steps.iter().flat_map(|step| [format!("{} ms", step.name), "tok/s".into()]);
    let columns: Vec<String> = columns.collect();
    let heading =
        ["chip", "GB/s", "TFLOP/s in f32", "for matrix units"].into_iter().chain(columns.iter().map(String::as_str));
    let rows = chips::of_backend(backend).map(|chip| {
        let peaks = [chip.bandwidth, chip.vector, chip.matrix].map(|peak| peak.to_string());
        let rooflines = steps.iter().flat_map(|step| {
            let seconds = step.cost_table.roofline(chip, None);
            [format!("{:.3}", seconds * 1e3), format!("{:.0}", f64::from(step.tokens) / seconds)]
        });
        [chip.name.clone()].into_iter().chain(peaks).chain(rooflines).collect::<Vec<_>>()
    });
    let title = "\nrooflines, every dispatch at the peak of its bytes or its operations:\n".to_string();
    title + &table(&heading.collect::<Vec<_>>(), &rows.collect::<Vec<_>>())
}

fn as_json(Step { name, tokens, cost_table }: &Step, backend: &str, chip: Option<&Chip>) -> serde_json::Value {
    let entry = |entry: &Entry| {
        let cost = &entry.cost;
        json!({
            "kernel": entry.name(), "launches": entry.dispatches, "barriers": entry.barriers,
            "weight_bytes": cost.weights,
            "activation_bytes": { "read": cost.activations.read, "written": cost.activations.written },
            "cache_bytes": { "read": cost.cache.read, "written": cost.cache.written },
            "flops": { "matrix": cost.flops.matrix, "vector": cost.flops.vector },
            "floor_seconds": chip.map(|chip| cost_table.roofline(chip, entry.kernel)),
        })
    };
    let chips = chip.map_or_else(|| chips::of_backend(backend).collect(), |chip| vec![chip]).into_iter();
    let rooflines = chips.map(|chip| {
        let seconds = cost_table.roofline(chip, None);
        json!({ "chip": chip.name, "seconds": seconds, "tokens_per_second": f64::from(*tokens) / seconds })
    });
    json!({
        "step": name, "tokens": tokens, "submissions": cost_table.submissions, "host_waits": cost_table.waits,
        "kernels": cost_table.kernels().iter().map(entry).collect::<Vec<_>>(), "total": entry(&cost_table.total()),
        "floors": rooflines.collect::<Vec<_>>(),
    })
}
