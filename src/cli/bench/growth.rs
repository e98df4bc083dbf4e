//! `bench growth`: the cost of a longer context, and the gain of more sequences.
//!
//! Each context is a prompt of its own, computed from its first token: the speed of what continues a shorter one would
//! depend on how few tokens are left to compute.

mod picture;
mod report;

use std::{fs, path::PathBuf, sync::Arc};

use bimetal::{
    Engine, EngineOptions, Error, Model, Result,
    low_level::{compute::dtype::DType, model::config::Config},
};
use clap::Args;
use indicatif::ProgressBar;

use super::{
    LONGEST,
    effort::Effort,
    largest,
    rates::{Together, room, together},
    recording::warm_up,
    target::Target,
    work::median,
};
use crate::cli::{
    figures::counted,
    output::{note, print, print_json},
    progress::{MEASURING, bar},
    values::whole,
};
use report::{Context, Point, Report, Sequences};

/// Default contexts.
const USUAL: [u32; 10] = [128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];

/// Flags of `bench growth`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Contexts to measure; if absent, 128 doubled up to 65,536, within the model's maximum
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = whole::<u32>(1..=LONGEST, ""))]
    contexts: Vec<u32>,
    /// Numbers of sequences computed together
    #[arg(short = 'S', long, value_delimiter = ',', default_value = "1,2,4,8,16", value_parser = whole::<u32>(1..=1024, ""))]
    sequences: Vec<u32>,
    /// Tokens in the context of each of several sequences before decoding
    #[arg(short = 'd', long, value_name = "TOKENS", default_value_t = 512, value_parser = whole::<u32>(1..=LONGEST, ""))]
    depth: u32,
    /// Tokens to decode at each context, and per sequence
    #[arg(short = 'n', long, value_name = "TOKENS", default_value_t = 64, value_parser = whole::<u32>(1..=LONGEST, ""))]
    decode: u32,
    /// Runs of each measurement, after one warm-up run
    #[arg(short, long, default_value_t = 3, value_parser = whole::<u32>(1..=1000, ""))]
    repeat: u32,
    /// Draw the speeds into an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Measure nothing: show and draw what an earlier run printed with --json
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "contexts", "sequences", "depth", "decode", "repeat", "model", "shape", "backend", "device", "context", "kv",
        "inputs", "quant", "budget", "memory",
    ])]
    from: Option<PathBuf>,
}

/// Measures speeds, prints and draws them.
pub fn run(arguments: &Arguments) -> Result<()> {
    let earlier = arguments.from.as_deref().map(Report::read).transpose()?;
    let report = earlier.map_or_else(|| arguments.measure(), |report| arguments.create_picture().map(|()| report))?;
    if let Some(path) = &arguments.svg {
        fs::write(path, picture::svg(&report)?).map_err(Error::io(path))?;
        note(&format!("{}: a picture of it", path.display()));
    }
    if arguments.target.json {
        let json = serde_json::to_value(&report).map_err(|why| Error::Request(format!("no JSON of it: {why}")))?;
        return print_json(&json);
    }
    print(&report.text())
}

/// The contexts to measure.
fn contexts(arguments: &Arguments, config: &Config) -> Result<Vec<u32>> {
    if !arguments.contexts.is_empty() {
        return Ok(arguments.contexts.clone());
    }
    let max_context = arguments.target.engine.context.unwrap_or(config.context).min(config.context);
    let fits = |context: &u32| context.saturating_add(arguments.decode) < max_context;
    let usual: Vec<_> = USUAL.into_iter().filter(fits).collect();
    let none = || {
        Error::Request(format!(
            "a context of {max_context} tokens is too short for any of the usual; give shorter --contexts"
        ))
    };
    if usual.is_empty() { Err(none()) } else { Ok(usual) }
}

impl Arguments {
    /// Creates the picture's file: what cannot be written fails before the measurement.
    fn create_picture(&self) -> Result<()> {
        self.svg.iter().try_for_each(|path| fs::File::create(path).map(drop).map_err(Error::io(path)))
    }

    fn measure(&self) -> Result<Report> {
        let target = &self.target;
        let origin = target.open()?;
        let contexts = contexts(self, origin.config())?;
        let longest = largest(&contexts).saturating_add(self.decode).saturating_add(1);
        let longest = target.context(origin.config(), longest, "--contexts and -n")?;
        self.create_picture()?;
        let backend = target.device.open()?;
        let options = target.engine.options(1, 0);
        let budget = options.engine.budget_on(backend.caps());
        let sequences = largest(&self.sequences);
        let many = room(sequences, self.depth, budget).saturating_add(self.decode).saturating_add(1);
        let many = target.context(origin.config(), many, "-S, -d and -n")?;
        let model = target.load(&backend, &origin, options.precision)?;
        let alone = EngineOptions { context: Some(longest), ..options.engine };
        let together = EngineOptions { context: Some(many), sequences, ..options.engine };
        let bar = bar(MEASURING, self.effort(Effort::on(backend.caps()), &contexts));
        let contexts = self.over_contexts(&model, alone, &contexts, &bar)?;
        let sequences = self.over_sequences(&model, together, &bar)?;
        drop(bar);
        let (caps, name) = (backend.caps(), |dtype: DType| dtype.to_string());
        Ok(Report {
            version: env!("CARGO_PKG_VERSION").into(),
            backend: caps.backend.into(),
            device: caps.device.clone(),
            driver: caps.driver.clone(),
            model: target.name().into_owned(),
            random_weights: target.is_random(),
            quant: options.precision.weights.map_or("none".into(), name),
            inputs: name(model.weights.activations()),
            kv: name(options.engine.kv),
            budget,
            repeat: self.repeat,
            decode_tokens: self.decode,
            depth: self.depth,
            contexts,
            sequences,
        })
    }

    /// The effort of all runs.
    fn effort(&self, effort: Effort, contexts: &[u32]) -> u64 {
        let alone: u64 = contexts.iter().map(|context| effort.together(1, *context, self.decode)).sum();
        let together = self.sequences.iter().map(|number| effort.together(*number, self.depth, self.decode));
        (alone + together.sum::<u64>()) * (u64::from(self.repeat) + 1)
    }

    fn over_contexts(
        &self,
        model: &Arc<Model>,
        options: EngineOptions,
        contexts: &[u32],
        bar: &ProgressBar,
    ) -> Result<Vec<Point<Context>>> {
        let mut engine = Engine::new(model.clone(), options)?;
        let mut point = |&context: &u32| {
            bar.set_message(format!("a context of {}", counted(context as usize, "token")));
            let [prefill, decode] = self.speeds(&mut engine, (1, context), bar)?;
            Ok(Point { at: Context { context }, prompt_tokens: context.into(), prefill, decode })
        };
        contexts.iter().map(&mut point).collect()
    }

    fn over_sequences(
        &self,
        model: &Arc<Model>,
        options: EngineOptions,
        bar: &ProgressBar,
    ) -> Result<Vec<Point<Sequences>>> {
        let mut engine = Engine::new(model.clone(), options)?;
        let mut point = |&sequences: &u32| {
            bar.set_message(counted(sequences as usize, "sequence"));
            let [prefill, decode] = self.speeds(&mut engine, (sequences, self.depth), bar)?;
            let prompt_tokens = u64::from(sequences) * u64::from(self.depth);
            Ok(Point { at: Sequences { sequences }, prompt_tokens, prefill, decode })
        };
        self.sequences.iter().map(&mut point).collect()
    }

    /// The medians of prefill and decode, after a warm-up.
    fn speeds(&self, engine: &mut Engine, (sequences, depth): (u32, u32), bar: &ProgressBar) -> Result<[f64; 2]> {
        let caps = engine.model().backend.caps().clone();
        let effort = Effort::on(&caps).together(sequences, depth, self.decode);
        let mut once = || together(engine, (sequences, depth), self.decode);
        warm_up(&caps, bar, || once().map(drop))?;
        bar.inc(effort);
        let runs = (0..self.repeat).map(|_| once().inspect(|_| bar.inc(effort))).collect::<Result<Vec<_>>>()?;
        let middle = |rate: fn(&Together) -> f64| median(runs.iter().map(rate).collect());
        Ok([middle(Together::prefill), middle(Together::decode)])
    }
}
