//! The time of a step by kernel, from the device's own clock.

use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use bimetal::{
    Error, Model, Result,
    low_level::{
        compute::{cost::Cost, dtype::DType, kernel::Dispatch},
        engine::Prepared,
        kernels::operands::step::Phase,
    },
    measure::chips::Chip,
};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    Arguments,
    effort::Effort,
    recording::{Shape, fill, record, runner, warm_up},
    target::chip,
    trace,
    work::{Work, columns, median},
};
use crate::cli::{
    figures::{count, exact, short},
    output::{note, print, print_json},
    progress::{MEASURING, bar},
    table::{Column, paragraph, table},
    warm_up::patiently,
};

/// A step with each dispatch timed alone.
pub struct Profile {
    /// The work of the step.
    pub shape: Shape,
    /// The dispatches, in order.
    pub dispatches: Vec<Timed>,
    /// Time of the whole step in one submission, by the host's clock, until the host sees its end.
    whole: Duration,
}

/// One timed dispatch.
pub struct Timed {
    /// The kernel's name, and the matrix size of a matrix product.
    pub name: String,
    /// The kernel with its defines.
    pub label: String,
    /// Workgroups in each dimension.
    pub grid: [u32; 3],
    /// Its minimum cost, for the roofline.
    pub cost: Cost,
    /// Its median time.
    pub time: Duration,
}

/// Profiles a decode step for each number of sequences, and a prefill chunk, at each depth.
pub fn run(arguments: &Arguments) -> Result<()> {
    let origin = arguments.target.open()?;
    // First, so that a file that cannot be written fails before the measurement.
    arguments.trace.iter().try_for_each(|path| fs::File::create(path).map(drop).map_err(Error::io(path)))?;
    let backend = arguments.target.device.open()?;
    let chip = chip(arguments.chip.as_deref(), backend.caps())?;
    let options = arguments.target.engine.options(1, 0);
    let shapes = shapes(arguments, options.engine.budget_on(backend.caps()));
    let longest = shapes.iter().map(|shape| shape.context()).max().unwrap_or(0);
    let are_usual = arguments.prompt.is_empty() && arguments.decode.is_empty();
    let flags = if are_usual { "-d and --budget" } else { "-p, -n and -d" };
    arguments.target.context(origin.config(), longest, flags)?;
    let model = arguments.target.load(&backend, &origin, options.precision)?;
    let effort = Effort::on(backend.caps());
    let all: u64 = shapes.iter().map(|shape| effort.step(*shape)).sum();
    let bar = bar(MEASURING, all * u64::from(arguments.repeat));
    let profile = |shape| Profile::new(&model, shape, (options.engine.kv, arguments.repeat), &bar);
    let profiles = shapes.into_iter().map(profile).collect::<Result<Vec<_>>>()?;
    drop(bar);
    if let Some(path) = &arguments.trace {
        fs::write(path, trace::events(&profiles).to_string()).map_err(Error::io(path))?;
        note(&format!("{}: {} programs; open it in https://ui.perfetto.dev", path.display(), profiles.len()));
    }
    if arguments.target.json {
        let mut report = arguments.target.heading(backend.caps());
        report.insert("chip".into(), chip.map(|chip| chip.name.as_str()).into());
        report.insert("programs".into(), profiles.iter().map(|profile| profile.as_json(chip)).collect());
        return print_json(&report.into());
    }
    let caps = backend.caps();
    let title =
        format!("{} on {} ({}), median of {}", arguments.target.name(), caps.device, caps.backend, arguments.repeat);
    let roofline = chip.map_or("its peaks are not known: --chip names a chip".into(), |chip| {
        format!(
            "{}: {} GB/s, {} TFLOP/s in f32, {} for matrix units",
            chip.name,
            exact(chip.bandwidth),
            exact(chip.vector),
            exact(chip.matrix)
        )
    });
    let tables: Vec<_> = profiles.iter().map(|profile| profile.text(chip)).collect();
    print(&format!("{}\n{}", paragraph(&format!("{title}\n{roofline}\n"), 0), tables.join("\n")))
}

/// The steps to profile, each once.
fn shapes(arguments: &Arguments, budget: u32) -> Vec<Shape> {
    let positive = |lengths: &[u32]| lengths.iter().copied().filter(|length| *length > 0).collect::<Vec<_>>();
    let one = |lengths: &[u32], usual: u32| if lengths.is_empty() { vec![usual] } else { positive(lengths) };
    let (prompts, decodes) = (one(&arguments.prompt, budget), one(&arguments.decode, 1));
    let mut shapes = Vec::new();
    for depth in &arguments.depth {
        for tokens in &decodes {
            // A decode step needs at least one earlier token.
            let depth = (depth + tokens - 1).max(1);
            shapes.extend(arguments.sequences.iter().map(|&rows| Shape { phase: Phase::Decode, rows, depth }));
        }
        for tokens in &prompts {
            let chunks = (0..*tokens).step_by(budget as usize);
            let chunk = |done| Shape { phase: Phase::Prefill, rows: budget.min(tokens - done), depth: depth + done };
            shapes.extend(chunks.map(chunk));
        }
    }
    let mut seen = BTreeSet::new();
    shapes.retain(|shape| seen.insert((shape.phase == Phase::Decode, shape.rows, shape.depth)));
    shapes
}

impl Profile {
    fn new(model: &Arc<Model>, shape: Shape, (kv, repeat): (DType, u32), bar: &ProgressBar) -> Result<Self> {
        bar.set_message(shape.title());
        let backend = &model.backend;
        let mut runner = runner(backend, model, shape.context(), shape.sequences(), kv)?;
        let mut recording = record(&mut runner, shape)?;
        recording.choose(model)?;
        fill(&recording.step, shape, model.vocabulary)?;
        let prepared = patiently(backend.caps(), bar, || runner.load(recording))?;
        let once = || {
            backend.run(&prepared.program)?;
            backend.wait()
        };
        warm_up(backend.caps(), bar, once)?;
        let (mut runs, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..repeat {
            runs.push(times(model, &prepared)?);
            let started = Instant::now();
            once()?;
            whole.push(started.elapsed());
            bar.inc(Effort::on(backend.caps()).step(shape));
        }
        let load = shape.load();
        let dispatches = prepared.program.dispatches.iter().enumerate().map(|(at, dispatch)| Timed {
            name: name(dispatch),
            label: dispatch.label(),
            grid: dispatch.grid,
            cost: dispatch.cost(&load),
            time: middle(runs.iter().map(|run| run[at])),
        });
        Ok(Self { shape, dispatches: dispatches.collect(), whole: middle(whole) })
    }

    fn total(&self, chip: Option<&Chip>) -> Work {
        self.dispatches.iter().fold(Work::none(chip), |mut total, dispatch| {
            total += dispatch.work(chip);
            total
        })
    }

    /// The work of each kernel, longest time first.
    fn kernels(&self, chip: Option<&Chip>) -> Vec<(&str, Work)> {
        let mut kernels: Vec<(&str, Work)> = Vec::new();
        for dispatch in &self.dispatches {
            match kernels.iter_mut().find(|(name, _)| *name == dispatch.name) {
                Some((_, work)) => *work += dispatch.work(chip),
                None => kernels.push((&dispatch.name, dispatch.work(chip))),
            }
        }
        kernels.sort_by(|(_, a), (_, b)| b.seconds.total_cmp(&a.seconds));
        kernels
    }

    fn text(&self, chip: Option<&Chip>) -> String {
        let total = self.total(chip);
        let row = |(name, work): (&str, Work)| {
            let micros = work.seconds * 1e6;
            let mut cells = vec![name.to_string(), count(work.dispatches), short(micros)];
            cells.push(short(micros / work.dispatches as f64));
            cells.push(short(100.0 * work.seconds / total.seconds));
            cells.extend(work.cells());
            cells
        };
        let rows: Vec<_> = self.kernels(chip).into_iter().chain([("total", total)]).map(row).collect();
        let fixed = [Column::text("kernel")].into_iter().chain(["dispatches", "µs", "each", "%"].map(Column::number));
        let columns: Vec<_> = fixed.chain(columns(chip)).collect();
        let [alone, whole] = [total.seconds, self.whole.as_secs_f64()].map(|seconds| short(seconds * 1e3));
        let title = format!("{}: {alone} ms dispatch by dispatch, {whole} ms in one go", self.shape.title());
        format!("{title}\n{}", table(&columns, &rows))
    }

    fn as_json(&self, chip: Option<&Chip>) -> Value {
        let total = self.total(chip);
        let kernel = |(name, work): &(&str, Work)| {
            let mut entry = work.as_json();
            entry["kernel"] = (*name).into();
            entry["share"] = (work.seconds / total.seconds).into();
            entry
        };
        json!({
            "program": self.shape.title(), "kind": self.shape.kind(), "rows": self.shape.rows,
            "sequences": self.shape.sequences(), "depth": self.shape.depth,
            "seconds_in_one_go": self.whole.as_secs_f64(), "total": total.as_json(),
            "kernels": self.kernels(chip).iter().map(kernel).collect::<Vec<_>>(),
        })
    }
}

impl Timed {
    fn work(&self, chip: Option<&Chip>) -> Work {
        Work::one(self.cost, self.time.as_secs_f64(), chip)
    }
}

fn middle(times: impl IntoIterator<Item = Duration>) -> Duration {
    Duration::from_secs_f64(median(times.into_iter().map(|time| time.as_secs_f64()).collect()))
}

fn times(model: &Model, prepared: &Prepared) -> Result<Vec<Duration>> {
    let refusal = || Error::Unsupported {
        what: format!("a profile on {}", model.backend.caps().device),
        hint: "its driver offers no clock".into(),
    };
    model.backend.time(&prepared.program)?.ok_or_else(refusal)
}

/// The kernel's name; for a matrix product also its columns and its inner dimension.
pub fn name(dispatch: &Dispatch) -> String {
    let columns = dispatch.kernel.params.iter().position(|(name, _)| *name == "count").map(|at| dispatch.params[at]);
    match (dispatch.find_define("K"), columns) {
        (Some(inner), Some(columns)) => format!("{} {columns}×{inner}", dispatch.kernel.name),
        _ => dispatch.kernel.name.into(),
    }
}
