//! `bench`: prefill and decode, warmed up, median and spread.

mod chunked;
mod plan;
mod profile;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use bimetal::{
    Error, Result,
    backend::Backend,
    engine::{Engine, Request, Then},
    model::{Model, config::Config, weights::Source},
    sampler::Sampling,
};
use clap::Args;
use serde_json::json;

use super::{
    model::{DeviceArguments, EngineArguments, ModelArguments},
    table::table,
};

/// Flags of `bench`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Random weights of a published shape instead of a checkpoint: 0.8b, 2b, 4b, 9b or 27b
    #[arg(long, conflicts_with = "model")]
    shape: Option<String>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    engine: EngineArguments,
    /// Lengths of prompts to measure
    #[arg(short = 'p', long, value_delimiter = ',', default_value = "512")]
    prompt: Vec<usize>,
    /// Tokens to decode
    #[arg(short = 'n', long, value_delimiter = ',', default_value = "128")]
    decode: Vec<usize>,
    /// Tokens that are there before decoding
    #[arg(short = 'd', long, value_delimiter = ',', default_value = "0")]
    depth: Vec<usize>,
    /// Sequences decoded together
    #[arg(short = 's', long, value_delimiter = ',', default_value = "1")]
    sequences: Vec<usize>,
    /// Runs of each, after one that does not count
    #[arg(short, long, default_value_t = 5)]
    repeat: usize,
    /// Compute a prompt of 1,000 tokens in chunks and token by token, and compare
    #[arg(long)]
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
    if arguments.repeat == 0 {
        return Err(Error::Request("--repeat 0 measures nothing; give at least 1".into()));
    }
    if arguments.plan.plan {
        return plan::run(arguments);
    }
    let backend = arguments.device.open()?;
    let model = Arc::new(load(arguments, &backend)?);
    if arguments.compare_loop {
        return chunked::compare(&model, &arguments.engine.setup(1, 0));
    }
    if arguments.profile {
        return profile::profile(&model, &arguments.engine.setup(1, 0), (&arguments.depth, arguments.repeat));
    }
    let most = |list: &[usize]| list.iter().copied().max().unwrap_or(0);
    let context = most(&arguments.prompt).max(most(&arguments.depth).max(1) + most(&arguments.decode)) + 1;
    let mut setup = arguments.engine.setup(most(&arguments.sequences).max(1) as u32, 0);
    setup.engine.context = setup.engine.context.or(Some(context.next_multiple_of(16) as u32));
    let mut engine = Engine::new(model, setup.engine)?;
    let mut lines = Vec::new();
    for &prompt in arguments.prompt.iter().filter(|prompt| **prompt > 0) {
        lines.push(measure(format!("pp{prompt}"), arguments.repeat, || prefill(&mut engine, prompt))?);
    }
    for &depth in &arguments.depth {
        for &decoded in arguments.decode.iter().filter(|decoded| **decoded > 0) {
            for &sequences in &arguments.sequences {
                let name = format!("tg{decoded} @ d{depth} x{sequences}");
                lines.push(measure(name, arguments.repeat, || decode(&mut engine, depth, decoded, sequences))?);
            }
        }
    }
    report(arguments, &backend, &engine, &lines)
}

fn load(arguments: &Arguments, backend: &Arc<dyn Backend>) -> Result<Model> {
    let inputs = arguments.engine.setup(1, 0).inputs;
    match shape(arguments)? {
        Some(config) => Model::load(backend, &Source::Random(&config), inputs, &mut |_, _| {}),
        None => Model::load(backend, &Source::Checkpoint(&arguments.model.open()?), inputs, &mut |_, _| {}),
    }
}

/// The published shape that was asked for, if one was.
fn shape(arguments: &Arguments) -> Result<Option<Config>> {
    let Some(shape) = &arguments.shape else { return Ok(None) };
    let unknown = || Error::Request(format!("--shape {shape} is not one of 0.8b, 2b, 4b, 9b, 27b"));
    Config::named(shape).ok_or_else(unknown).map(Some)
}

fn measure(test: String, repeat: usize, mut once: impl FnMut() -> Result<f64>) -> Result<Line> {
    once()?;
    let rates = (0..repeat).map(|_| once()).collect::<Result<_>>()?;
    Ok(Line { test, rates })
}

fn request(engine: &Engine, prompt: usize, most: usize) -> Request {
    let prompt = chunked::ids(prompt, engine.model().vocabulary);
    Request { prompt, sampling: Sampling::greedy(), most, stop: BTreeSet::new(), then: Then::Forget }
}

/// Prompt tokens per second, to the first token.
fn prefill(engine: &mut Engine, tokens: usize) -> Result<f64> {
    let started = Instant::now();
    engine.add(request(engine, tokens, 1))?;
    while !engine.is_idle() {
        engine.step()?;
    }
    Ok(tokens as f64 / started.elapsed().as_secs_f64())
}

/// Tokens per second of all sequences, after each has its first.
fn decode(engine: &mut Engine, depth: usize, decoded: usize, sequences: usize) -> Result<f64> {
    for _ in 0..sequences {
        engine.add(request(engine, depth.max(1), decoded + 1))?;
    }
    let mut first = 0;
    while first < sequences {
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
        println!("{}", serde_json::to_string_pretty(&report).map_err(|error| Error::Request(error.to_string()))?);
        return Ok(());
    }
    let row = |line: &Line| {
        let [least, most] = line.spread();
        vec![line.test.clone(), format!("{:.1}", line.median()), format!("{least:.1}"), format!("{most:.1}")]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    println!("{model} on {} ({}), median of {}", caps.device, caps.backend, arguments.repeat);
    print!("{}", table(&["test", "tok/s", "least", "most"], &rows));
    let programs: Vec<_> =
        engine.dispatches().into_iter().map(|(program, count)| format!("{program} {count}")).collect();
    println!("dispatches: {}; device memory {} MiB", programs.join(", "), engine.memory().div_ceil(1 << 20));
    Ok(())
}
