//! `bench kernel`: one kernel alone, with cold buffers and with cached ones.
//!
//! The dispatches come from a dry run of a decode step and of a prefill chunk. Only their buffers are allocated, so a
//! kernel of a model too large for the device can be measured. Dispatches run back to back in one program, each waiting
//! for the one before, as in a step. The result is the time of three runs minus the time of one, so encoding and
//! waiting do not count.

mod copies;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bimetal::{
    Backend, Error, Model, Precision, Result,
    low_level::{
        compute::{
            caps::Caps,
            cost::Cost,
            dry_run::DryRun,
            kernel::Dispatch,
            pass::{Pass, Program},
        },
        kernels::{self, operands::step::Phase},
        model::weights::Source,
    },
    measure::chips::Chip,
};
use clap::{Args, builder::PossibleValuesParser};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    LONGEST,
    profile::name,
    recording::{Shape, fill, record, runner, warm_up},
    target::{Target, chip},
    work::{Work, columns, median},
};
use crate::cli::{
    figures::{self, short},
    output::{print, print_json},
    progress::{MEASURING, bar},
    table::{Column, paragraph, table},
    values::whole,
    warm_up::patiently,
};
use copies::Copies;

/// Maximum number of dispatches in one measurement.
const MOST_DISPATCHES: usize = 4096;
/// Minimum duration of a measurement, well above the noise of the clock.
const AIM: f64 = 10e-3;
/// Maximum duration of a submission: drivers reset a device that does not answer for some seconds.
const LONGEST_SUBMISSION: f64 = 0.25;

/// Flags of `bench kernel`.
#[derive(Args)]
pub struct Arguments {
    /// The kernel's name
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(kernels::ALL.iter().map(|kernel| kernel.name)))]
    name: String,
    #[command(flatten)]
    target: Target,
    /// Tokens in the context before the step
    #[arg(short = 'd', long, value_name = "TOKENS", default_value_t = 0, value_parser = whole::<u32>(0..=LONGEST, ""))]
    depth: u32,
    /// Numbers of sequences decoded together
    #[arg(short = 'S', long, default_value_t = 1, value_parser = whole::<u32>(1..=1024, ""))]
    sequences: u32,
    /// Measured runs, after a warm-up
    #[arg(short, long, default_value_t = 5, value_parser = whole::<u32>(1..=1000, ""))]
    repeat: u32,
    /// Megabytes that dispatches move before they reuse a buffer: more than any cache holds
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = whole::<u64>(1..=65_536, ""))]
    cold: u64,
    /// The chip of the roofline; if absent, the device's if known
    #[arg(long, value_name = "CHIP")]
    chip: Option<String>,
}

/// Dispatches of a recording with the same time: they differ in no relevant property.
struct Case {
    shape: Shape,
    dispatch: Dispatch,
    /// Their number in the recording.
    count: usize,
    cost: Cost,
}

/// The result of a case.
struct Measured {
    case: Case,
    /// Bytes moved before a buffer is reused.
    between: u64,
    cold: f64,
    warm: f64,
}

/// Measures the kernel and prints the result.
pub fn run(arguments: &Arguments) -> Result<()> {
    let target = &arguments.target;
    let origin = target.open()?;
    let backend = target.device.open()?;
    let budget = target.engine.options(1, 0).engine.budget_on(backend.caps());
    let shapes = [(Phase::Decode, arguments.sequences), (Phase::Prefill, budget)];
    let shapes = shapes.map(|(phase, rows)| {
        let depth = if phase == Phase::Decode { arguments.depth.max(1) } else { arguments.depth };
        Shape { phase, rows, depth }
    });
    for shape in shapes {
        target.context(origin.config(), shape.context(), "-d and --budget")?;
    }
    let chip = chip(arguments.chip.as_deref(), backend.caps())?;
    let recorded = shapes.map(|shape| dry_run(arguments, &backend, &origin.source(), shape));
    let recorded = recorded.into_iter().collect::<Result<Vec<_>>>()?;
    let cases: Vec<_> = recorded.iter().flat_map(|recorded| recorded.cases(&arguments.name)).collect();
    if cases.is_empty() {
        return Err(absent(&arguments.name, &recorded));
    }
    let bar = bar(MEASURING, cases.len() as u64);
    let measure = |case: Case| {
        bar.set_message(format!("{}, {}", name(&case.dispatch), case.shape.title()));
        measure(arguments, &backend, case, &bar).inspect(|_| bar.inc(1))
    };
    let measured = cases.into_iter().map(measure).collect::<Result<Vec<_>>>()?;
    drop(bar);
    report(arguments, backend.caps(), (&measured, chip))
}

fn report(arguments: &Arguments, caps: &Caps, (measured, chip): (&[Measured], Option<&Chip>)) -> Result<()> {
    let Arguments { name, target, repeat, .. } = arguments;
    if target.json {
        let mut report = target.heading(caps);
        report.insert("chip".into(), chip.map(|chip| chip.name.as_str()).into());
        report.insert("kernel".into(), name.as_str().into());
        report.insert("launches".into(), measured.iter().map(|measured| measured.as_json(chip)).collect());
        return print_json(&report.into());
    }
    let title = format!(
        "{name} of {} on {} ({}): dispatches back to back in one program, each after the other, median of {repeat}\n",
        target.name(),
        caps.device,
        caps.backend,
    );
    print(&(paragraph(&title, 0) + &text(measured, chip)))
}

/// The dispatches of a step.
struct Recorded {
    shape: Shape,
    dispatches: Vec<Dispatch>,
}

/// Records a step in a dry run; only its words and its page tables are on the device.
fn dry_run(arguments: &Arguments, backend: &Arc<dyn Backend>, source: &Source<'_>, shape: Shape) -> Result<Recorded> {
    let options = arguments.target.engine.options(shape.sequences(), 0);
    let device: Arc<dyn Backend> = Arc::new(DryRun::new(backend.caps().clone()));
    let precision = Precision { weights: None, ..options.precision };
    let model = Arc::new(Model::load(&device, &Source::Shapes(source), precision, &mut |_, _| {})?);
    let context = options.engine.context.unwrap_or(shape.context());
    let mut runner = runner(backend, &model, context, shape.sequences(), options.engine.kv)?;
    let mut recording = record(&mut runner, shape)?;
    recording.choose(&model)?;
    fill(&recording.step, shape, model.vocabulary)?;
    Ok(Recorded { shape, dispatches: recording.pass.finish().dispatches })
}

impl Recorded {
    fn cases(&self, kernel: &str) -> Vec<Case> {
        let load = self.shape.load();
        let mut cases: Vec<Case> = Vec::new();
        for dispatch in self.dispatches.iter().filter(|dispatch| dispatch.kernel.name == kernel) {
            match cases.iter_mut().find(|case| alike(&case.dispatch, dispatch)) {
                Some(case) => case.count += 1,
                None => {
                    let (dispatch, cost) = (dispatch.clone(), dispatch.cost(&load));
                    cases.push(Case { shape: self.shape, dispatch, count: 1, cost });
                }
            }
        }
        cases
    }
}

fn alike(a: &Dispatch, b: &Dispatch) -> bool {
    let constants = |d: &Dispatch| (d.defines.clone(), d.params.clone(), d.grid, d.lanes);
    constants(a) == constants(b) && a.elements == b.elements && a.shapes == b.shapes
}

/// The error if no step has a dispatch of this kernel.
fn absent(kernel: &str, recorded: &[Recorded]) -> Error {
    let mut there: Vec<_> = recorded.iter().flat_map(|r| &r.dispatches).map(|dispatch| dispatch.kernel.name).collect();
    there.sort_unstable();
    there.dedup();
    let what = format!("no step of this model dispatches {kernel} on this device; they dispatch {}", there.join(", "));
    Error::Request(what)
}

fn measure(arguments: &Arguments, backend: &Arc<dyn Backend>, case: Case, bar: &ProgressBar) -> Result<Measured> {
    let max_bytes = arguments.target.engine.memory.map_or(Copies::MAX_BYTES, |mebibytes| mebibytes << 20);
    let copies = Copies::new(backend, &case.dispatch, (case.cost.moved(), arguments.cold * 1_000_000), max_bytes)?;
    let cold = time(backend, copies.dispatches(), arguments.repeat, bar)?;
    let warm = time(backend, &copies.dispatches()[..1], arguments.repeat, bar)?;
    let between = case.cost.moved() * copies.dispatches().len() as u64;
    Ok(Measured { case, between, cold, warm })
}

/// Seconds per dispatch, when the dispatches run one after the other, repeatedly.
fn time(backend: &Arc<dyn Backend>, dispatches: &[Dispatch], repeat: u32, bar: &ProgressBar) -> Result<f64> {
    let load = |dispatches: Vec<Dispatch>| backend.load(Pass::replay(backend.caps(), &dispatches));
    let run = |programs: &[Program], times: u32| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..times {
            programs.iter().try_for_each(|program| backend.run(program))?;
        }
        backend.wait()?;
        Ok(started.elapsed().as_secs_f64())
    };
    let again = |count: usize| dispatches.iter().cycle().take(count).cloned().collect::<Vec<_>>();
    let mut each = 0.0;
    // Start with few dispatches: the right number per measurement and per submission is not known yet.
    for few in [1, 32] {
        let programs = [patiently(backend.caps(), bar, || load(again(few)))?];
        patiently(backend.caps(), bar, || run(&programs, 1))?;
        each = run(&programs, 1)? / few as f64;
        if each > AIM {
            break;
        }
    }
    let count = ((AIM / each) as usize).clamp(dispatches.len(), MOST_DISPATCHES).next_multiple_of(dispatches.len());
    let portion = ((LONGEST_SUBMISSION / each) as usize).clamp(1, MOST_DISPATCHES);
    let programs = again(count).chunks(portion).map(|part| load(part.to_vec())).collect::<Result<Vec<_>>>()?;
    warm_up(backend.caps(), bar, || run(&programs, 1).map(drop))?;
    let one = || -> Result<f64> {
        let once = run(&programs, 1)?;
        Ok((run(&programs, 3)? - once) / (2 * count) as f64)
    };
    let samples = (0..repeat).map(|_| one()).collect::<Result<Vec<_>>>()?;
    Ok(median(samples).max(Duration::from_nanos(1).as_secs_f64()))
}

impl Measured {
    fn work(&self, chip: Option<&Chip>) -> [Work; 2] {
        [self.cold, self.warm].map(|seconds| Work::one(self.case.cost, seconds, chip))
    }

    fn as_json(&self, chip: Option<&Chip>) -> Value {
        let [cold, warm] = self.work(chip);
        let Case { shape, dispatch, count, .. } = &self.case;
        json!({
            "step": shape.title(), "kind": shape.kind(), "name": name(dispatch), "label": dispatch.label(),
            "grid": dispatch.grid, "lanes": dispatch.lanes, "count": count, "bytes_before_again": self.between,
            "cold": cold.as_json(), "warm": warm.as_json(),
        })
    }
}

fn text(measured: &[Measured], chip: Option<&Chip>) -> String {
    let fixed = [
        Column::text("step"),
        Column::text("dispatch"),
        Column::number("in a\nstep"),
        Column::number("MB\nmoved"),
        Column::text("buffers"),
        Column::number("MB before\nreuse"),
        Column::number("µs"),
    ];
    let columns: Vec<_> = fixed.into_iter().chain(columns(chip)).collect();
    let rows = measured.iter().flat_map(|measured| {
        let Case { shape, dispatch, count, cost } = &measured.case;
        let megabytes = |bytes: u64| short(bytes as f64 / 1e6);
        let [cold, warm] = measured.work(chip);
        [("cold", measured.between, cold), ("warm", cost.moved(), warm)].map(|(buffers, between, work)| {
            let mut cells = vec![shape.kind().into(), name(dispatch), figures::count(*count as u64)];
            cells.extend([megabytes(cost.moved()), buffers.into(), megabytes(between), short(work.seconds * 1e6)]);
            cells.extend(work.cells());
            cells
        })
    });
    let mut shapes: Vec<_> = measured.iter().map(|measured| measured.case.shape.title()).collect();
    shapes.dedup();
    format!("{}\n{}", shapes.join("; "), table(&columns, &rows.collect::<Vec<_>>()))
}
