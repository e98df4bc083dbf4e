//! `bench`: prefill and decode, warmed up, median and spread.

mod chunked;
mod plan;
mod profile;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use bimetal::{
    Error, Result,
    backend::Backend,
    cache::BLOCK,
    engine::{Engine, Request, Then},
    model::{Model, config::Config, weights::Source},
    sampler::Sampling,
};
use clap::Args;
use serde_json::json;

use super::{
    model::{DeviceArguments, EngineArguments, ModelArguments},
    output::{print, print_json},
    table::table,
};

/// Far above any context, and far below where sums of lengths overflow.
const LONGEST: i64 = 1 << 24;

/// Flags of `bench`.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Random weights of a published shape instead of a checkpoint
    #[arg(long, conflicts_with = "model", value_parser = Config::NAMES)]
    shape: Option<String>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    engine: EngineArguments,
    /// Lengths of prompts to measure; 0 for none
    #[arg(short = 'p', long, value_name = "TOKENS", value_delimiter = ',', default_value = "512", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    prompt: Vec<u32>,
    /// Tokens to decode; 0 for none
    #[arg(short = 'n', long, value_name = "TOKENS", value_delimiter = ',', default_value = "128", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    decode: Vec<u32>,
    /// Tokens that are there before decoding
    #[arg(short = 'd', long, value_name = "TOKENS", value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    depth: Vec<u32>,
    /// Sequences decoded together
    #[arg(short = 's', long, value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1024))]
    sequences: Vec<u32>,
    /// Runs of each, after one that does not count
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Compute a prompt of 1,000 tokens in chunks and token by token, and compare
    #[arg(long, conflicts_with = "json")]
    compare_loop: bool,
    /// Time every kernel of a decode step and of a prompt chunk, by the device's clock
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    plan: plan::PlanArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One line of results: tokens per second of each run.
struct Line {
    test: String,
    rates: Vec<f64>,
}

impl Line {
    fn median(&self) -> f64 {
        let mut sorted = self.rates.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
    }

    fn spread(&self) -> [f64; 2] {
        let fold = |start, pick: fn(f64, f64) -> f64| self.rates.iter().copied().fold(start, pick);
        [fold(f64::INFINITY, f64::min), fold(0.0, f64::max)]
    }
}

/// Measures and prints.
pub fn run(arguments: &Arguments) -> Result<()> {
    let most = |list: &[u32]| list.iter().copied().max().unwrap_or(0);
    if most(&arguments.prompt) == 0 && most(&arguments.decode) == 0 {
        return Err(Error::Request("-p 0 -n 0 measures nothing; give one of them a length".into()));
    }
    if arguments.plan.plan {
        return plan::run(arguments);
    }
    let checkpoint = match arguments.shape {
        Some(_) => None,
        None => Some(arguments.model.open()?),
    };
    let named = shape(arguments)?;
    let source = match (&checkpoint, &named) {
        (Some(checkpoint), _) => Source::Checkpoint(checkpoint),
        (None, Some(config)) => Source::Random(config),
        (None, None) => unreachable!("a shape where there is no checkpoint"),
    };
    let context = arguments.context(source.config())?;
    let backend = arguments.device.open()?;
    let mut setup = arguments.engine.setup(backend.caps(), [most(&arguments.sequences), 0]);
    let model = Arc::new(Model::load(&backend, &source, setup.inputs, &mut |_, _| {})?);
    if arguments.compare_loop {
        return chunked::compare(&model, &setup);
    }
    if arguments.profile {
        return profile::profile(&model, &setup, (&arguments.depth, arguments.repeat));
    }
    setup.engine.context = setup.engine.context.or(Some(context));
    let mut engine = Engine::new(model, setup.engine)?;
    let lines = arguments.lines(&mut engine)?;
    report(arguments, &backend, &engine, &lines)
}

/// The published shape that was asked for, if one was.
fn shape(arguments: &Arguments) -> Result<Option<Config>> {
    let Some(shape) = &arguments.shape else { return Ok(None) };
    let unknown = || Error::Request(format!("--shape {shape} is not one of 0.8b, 2b, 4b, 9b, 27b"));
    Config::named(shape).ok_or_else(unknown).map(Some)
}

impl Arguments {
    /// The context that the longest of what is to be measured takes.
    fn context(&self, config: &Config) -> Result<u32> {
        let most = |list: &[u32]| list.iter().copied().max().unwrap_or(0);
        let context = most(&self.prompt).max(most(&self.depth).max(1) + most(&self.decode)) + 1;
        if context > config.context {
            let held = config.context;
            let what = format!("-p, -d and -n ask for a context of {context} tokens, and the model's has {held}");
            return Err(Error::Request(format!("{what}; give shorter lengths")));
        }
        Ok(context.next_multiple_of(BLOCK).min(config.context))
    }

    fn lines(&self, engine: &mut Engine) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for &prompt in self.prompt.iter().filter(|prompt| **prompt > 0) {
            lines.push(measure(format!("pp{prompt}"), self.repeat, || prefill(engine, prompt))?);
        }
        for &depth in &self.depth {
            for &decoded in self.decode.iter().filter(|decoded| **decoded > 0) {
                for &sequences in &self.sequences {
                    let name = format!("tg{decoded} @ d{depth} x{sequences}");
                    lines.push(measure(name, self.repeat, || decode(engine, depth, decoded, sequences))?);
                }
            }
        }
        Ok(lines)
    }
}

fn measure(test: String, repeat: u32, mut once: impl FnMut() -> Result<f64>) -> Result<Line> {
    once()?;
    let rates = (0..repeat).map(|_| once()).collect::<Result<_>>()?;
    Ok(Line { test, rates })
}

fn request(engine: &Engine, prompt: u32, most: u32) -> Request {
    let prompt = chunked::ids(prompt, engine.model().vocabulary);
    let most = most as usize;
    Request { prompt, sampling: Sampling::greedy(), most, stop: BTreeSet::new(), then: Then::Forget }
}

/// Prompt tokens per second, to the first token.
fn prefill(engine: &mut Engine, tokens: u32) -> Result<f64> {
    let started = Instant::now();
    engine.add(request(engine, tokens, 1))?;
    while !engine.is_idle() {
        engine.step()?;
    }
    Ok(f64::from(tokens) / started.elapsed().as_secs_f64())
}

/// Tokens per second of all sequences, after each has its first.
fn decode(engine: &mut Engine, depth: u32, decoded: u32, sequences: u32) -> Result<f64> {
    for _ in 0..sequences {
        engine.add(request(engine, depth.max(1), decoded + 1))?;
    }
    let mut first = 0;
    while first < sequences as usize {
        first += engine.step()?.len();
    }
    let (started, mut tokens) = (Instant::now(), 0);
    while !engine.is_idle() {
        tokens += engine.step()?.len();
    }
    Ok(tokens as f64 / started.elapsed().as_secs_f64())
}

fn report(arguments: &Arguments, backend: &Arc<dyn Backend>, engine: &Engine, lines: &[Line]) -> Result<()> {
    let caps = backend.caps();
    let model = arguments.shape.as_deref().unwrap_or(arguments.model.name());
    if arguments.json {
        let results =
            lines.iter().map(|line| json!({ "test": line.test, "median": line.median(), "rates": line.rates }));
        let report = json!({
            "backend": caps.backend, "device": caps.device, "driver": caps.driver, "model": model,
            "memory_bytes": engine.memory(), "results": results.collect::<Vec<_>>(),
            "dispatches": engine.dispatches().into_iter().map(|(program, count)| json!({ "program": program, "count": count })).collect::<Vec<_>>(),
        });
        return print_json(&report);
    }
    let row = |line: &Line| {
        let [least, most] = line.spread();
        vec![line.test.clone(), format!("{:.1}", line.median()), format!("{least:.1}"), format!("{most:.1}")]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    let heading = format!("{model} on {} ({}), median of {}\n", caps.device, caps.backend, arguments.repeat);
    let programs: Vec<_> =
        engine.dispatches().into_iter().map(|(program, count)| format!("{program} {count}")).collect();
    let memory = engine.memory().div_ceil(1 << 20);
    let closing = format!("dispatches: {}; device memory {memory} MiB\n", programs.join(", "));
    print(&(heading + &table(&["test", "tok/s", "least", "most"], &rows) + &closing))
}
