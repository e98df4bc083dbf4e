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
    figures::{count, exact, short},
    output::{print, print_json},
    table::{Column, paragraph, table},
};

/// Flags of `bench --plan`.
#[derive(Args)]
pub struct PlanArguments {
    /// Run nothing and need no device: the least time of a decode step (-S, -d) and of a prompt's last chunk (--budget,
    /// -d), on one chip or on all. An Apple chip means the Metal backend, unless --backend names another
    #[arg(long, group = "instead", conflicts_with_all = ["device", "prompt", "decode", "repeat"])]
    pub plan: bool,
    /// With --plan: the cost of each kernel, too
    #[arg(long)]
    pub kernels: bool,
    /// With --plan: the kind of GPU to record wgpu dispatches for [default: discrete; integrated for an Apple chip]
    #[arg(long, value_name = "KIND")]
    pub gpu: Option<Gpu>,
}

/// A kind of GPU.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Gpu {
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
    let chosen = arguments.chip.as_deref().map(chips::named).transpose()?;
    let caps = caps(arguments, chosen)?;
    let steps = steps(arguments, &caps, &arguments.target.open()?.source())?;
    if arguments.target.json {
        let steps: Vec<_> = steps.iter().map(|step| as_json(step, caps.backend, chosen)).collect();
        let report = json!({
            "backend": caps.backend, "device": caps.device, "chip": chosen.map(chip_as_json), "steps": steps,
        });
        return print_json(&report);
    }
    let mut parts = vec![paragraph(
        &format!("{} through {} on {}: nothing is run\n", arguments.target.name(), caps.backend, caps.device),
        0,
    )];
    parts.extend(chosen.map(peaks));
    parts.push(floors(&steps, chosen));
    if chosen.is_none() {
        parts.extend(by_chip(&steps, caps.backend));
    }
    if arguments.plan.kernels {
        parts.extend(steps.iter().map(|step| kernels(step, chosen)));
    }
    print(&parts.join("\n"))
}

/// The device to record for.
fn caps(arguments: &Arguments, chip: Option<&Chip>) -> Result<Caps> {
    let (backend, gpu) = (arguments.target.device.backend, arguments.plan.gpu);
    let is_apple = chip.is_some_and(Chip::is_apple);
    let backend = match backend {
        BackendChoice::Auto if is_apple => BackendChoice::Metal,
        BackendChoice::Auto => BackendChoice::Wgpu,
        chosen => chosen,
    };
    let usual = if is_apple { Gpu::Integrated } else { Gpu::Discrete };
    let kind = match gpu.unwrap_or(usual) {
        Gpu::Discrete => DeviceKind::Discrete,
        Gpu::Integrated => DeviceKind::Integrated,
        Gpu::Software => DeviceKind::Software,
    };
    let refuse = |what: String| Err(Error::Request(what));
    match (backend, chip) {
        (BackendChoice::Metal, Some(chip)) if !is_apple => {
            refuse(format!("--backend metal does not run on --chip {:?}: leave one of them out", chip.name))
        }
        (BackendChoice::Metal | BackendChoice::Cpu, _) if gpu.is_some() => {
            refuse("--gpu is for plans of the wgpu backend: add --backend wgpu, or leave --gpu out".into())
        }
        (BackendChoice::Metal, _) => Ok(Caps::apple()),
        (BackendChoice::Cpu, _) => Ok(Cpu::default().caps().clone()),
        _ => Ok(Caps::typical("wgpu", kind)),
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

/// The peaks of a chip, and where they are from.
fn peaks(chip: &Chip) -> String {
    let Chip { name, bandwidth, vector, matrix, note, .. } = chip;
    let [bandwidth, vector, matrix] = [bandwidth, vector, matrix].map(|peak| exact(*peak));
    let peaks = format!("{name}: {bandwidth} GB/s, {vector} TFLOP/s in f32, {matrix} for matrix units");
    paragraph(&format!("{peaks}. {note}\n--json names the sources.\n"), 0)
}

/// The least that each step moves and computes; on a chip, also its least time.
fn floors(steps: &[Step], chip: Option<&Chip>) -> String {
    let timed = ["tok/s\nat most", "ms\nat least"].into_iter().take(if chip.is_some() { 2 } else { 0 });
    let counts = ["MB\nmoved", "GFLOP", "dispatches", "submissions", "host\nwaits"];
    let columns = [Column::text("step")].into_iter().chain(timed.chain(counts).map(Column::number));
    let row = |step: &Step| {
        let (total, table) = (step.cost_table.total(), &step.cost_table);
        let mut cells = vec![step.name.clone()];
        cells.extend(chip.into_iter().flat_map(|chip| [short(step.rate(chip)), short(step.seconds(chip) * 1e3)]));
        cells.extend([total.cost.moved() as f64 / 1e6, total.cost.flops.total() as f64 / 1e9].map(short));
        cells.extend([total.dispatches, table.submissions, table.waits].map(count));
        cells
    };
    table(&columns.collect::<Vec<_>>(), &steps.iter().map(row).collect::<Vec<_>>())
}

/// Two tables with a line per chip of the backend: the most tokens a second, and the least time.
fn by_chip(steps: &[Step], backend: &str) -> [String; 2] {
    let columns = |peaks: &[&str]| -> Vec<Column> {
        let peaks = peaks.iter().map(|name| Column::number(*name));
        let steps = steps.iter().map(|step| Column::number(step.name.replace(" @", "\n@")));
        [Column::text("chip")].into_iter().chain(peaks).chain(steps).collect()
    };
    let rates = chips::of_backend(backend).map(|chip| {
        let peaks = [chip.bandwidth, chip.vector, chip.matrix].map(exact);
        let rates = steps.iter().map(|step| short(step.rate(chip)));
        [chip.name.clone()].into_iter().chain(peaks).chain(rates).collect()
    });
    let times = chips::of_backend(backend).map(|chip| {
        [chip.name.clone()].into_iter().chain(steps.iter().map(|step| short(step.seconds(chip) * 1e3))).collect()
    });
    let peaks = ["GB/s", "TFLOP/s\nin f32", "on matrix\nunits"];
    [
        "tokens a second at most, with every dispatch at the peak of its bytes or its operations:\n".to_owned()
            + &table(&columns(&peaks), &rates.collect::<Vec<_>>()),
        "milliseconds a step at least:\n".to_owned() + &table(&columns(&[]), &times.collect::<Vec<_>>()),
    ]
}

/// The cost of a step by kernel.
fn kernels(Step { name, cost_table, .. }: &Step, chip: Option<&Chip>) -> String {
    let headings = [
        "dispatches",
        "barriers",
        "MB of\nweights",
        "MB of\nactivations",
        "MB of\ncaches",
        "GFLOP\nin f32",
        "GFLOP on\nmatrices",
    ];
    let numbers = headings.into_iter().chain(chip.map(|_| "µs at\nleast")).map(Column::number);
    let columns: Vec<_> = [Column::text("kernel")].into_iter().chain(numbers).collect();
    let rows = cost_table.kernels().into_iter().chain([cost_table.total()]).map(|entry| {
        let Cost { weights, activations, cache, flops } = entry.cost;
        let mut cells = vec![entry.name().to_string(), count(entry.dispatches), count(entry.barriers)];
        let moved = [weights, activations.read + activations.written, cache.read + cache.written];
        cells.extend(moved.map(|bytes| short(bytes as f64 / 1e6)));
        cells.extend([flops.vector, flops.matrix].map(|flops| short(flops as f64 / 1e9)));
        cells.extend(chip.map(|chip| short(cost_table.roofline(chip, entry.kernel) * 1e6)));
        cells
    });
    format!("{name}, by kernel:\n{}", table(&columns, &rows.collect::<Vec<_>>()))
}

impl Step {
    /// Its least time on a chip, in seconds.
    fn seconds(&self, chip: &Chip) -> f64 {
        self.cost_table.roofline(chip, None)
    }

    /// Its most tokens a second on a chip.
    fn rate(&self, chip: &Chip) -> f64 {
        f64::from(self.tokens) / self.seconds(chip)
    }
}

fn chip_as_json(chip: &Chip) -> serde_json::Value {
    json!({
        "name": chip.name, "gigabytes_per_second": chip.bandwidth, "teraflops_f32": chip.vector,
        "teraflops_matrix": chip.matrix, "sources": chip.sources, "note": chip.note,
    })
}

fn as_json(step: &Step, backend: &str, chip: Option<&Chip>) -> serde_json::Value {
    let Step { name, tokens, cost_table } = step;
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
    let rooflines = chips
        .map(|chip| json!({ "chip": chip.name, "seconds": step.seconds(chip), "tokens_per_second": step.rate(chip) }));
    json!({
        "step": name, "tokens": tokens, "submissions": cost_table.submissions, "host_waits": cost_table.waits,
        "kernels": cost_table.kernels().iter().map(entry).collect::<Vec<_>>(), "total": entry(&cost_table.total()),
        "floors": rooflines.collect::<Vec<_>>(),
    })
}
