//! Prefill and decode speed of the engine in tokens per second, after a warm-up: median and range.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bimetal::{
    Engine, Request, Result, Sampling,
    low_level::{
        engine::{AtEnd, DryEngine},
        model::config::Config,
    },
};
use serde_json::{Value, json};

use super::{
    Arguments,
    effort::Effort,
    largest,
    recording::{ids, warm_up},
    work::median,
};
use crate::cli::{
    figures::{count, counted, rate, scaled, size},
    output::{print, print_json},
    progress::{MEASURING, bar},
    table::{Column, paragraph, table},
};

/// One line of results: tokens per second of each run.
struct Line {
    test: String,
    rates: Vec<f64>,
}

impl Line {
    fn median(&self) -> f64 {
        median(self.rates.clone())
    }

    fn spread(&self) -> [f64; 2] {
        let fold = |start, pick: fn(f64, f64) -> f64| self.rates.iter().copied().fold(start, pick);
        [fold(f64::INFINITY, f64::min), fold(0.0, f64::max)]
    }
}

/// Measures speeds and prints them.
pub fn run(arguments: &Arguments) -> Result<()> {
    let origin = arguments.target.open()?;
    let backend = arguments.target.device.open()?;
    let mut options = arguments.target.engine.options(largest(&arguments.sequences), 0);
    let budget = options.engine.budget_on(backend.caps());
    let context = arguments.context(origin.config(), budget)?;
    let model = arguments.target.load(&backend, &origin, options.precision)?;
    options.engine.context = Some(context);
    let mut engine = Engine::new(model, options.engine)?;
    let lines = arguments.lines(&mut engine)?;
    if arguments.target.json {
        return print_json(&as_json(arguments, (&engine, budget), &lines));
    }
    print(&text(arguments, (&engine, budget), &lines))
}

impl Arguments {
    /// The longest context of all measurements.
    fn context(&self, config: &Config, budget: u32) -> Result<u32> {
        let decoded = match largest(&self.decodes()) {
            0 => 0,
            decoded => room(largest(&self.sequences), largest(&self.depth), budget) + decoded,
        };
        let needed = largest(&self.prompts()).max(decoded) + 1;
        self.target.context(config, needed, "-p, -d and -n")
    }

    fn lines(&self, engine: &mut Engine) -> Result<Vec<Line>> {
        let prompts = self.prompts().into_iter().filter(|tokens| *tokens > 0).map(Test::Prompt);
        let decoded: Vec<_> = self.decodes().into_iter().filter(|tokens| *tokens > 0).collect();
        let decodes = self.depth.iter().flat_map(|&depth| {
            let of = move |&tokens: &u32| {
                self.sequences.iter().map(move |&sequences| Test::Decode { tokens, depth, sequences })
            };
            decoded.iter().flat_map(of)
        });
        let tests: Vec<_> = prompts.chain(decodes).collect();
        let caps = engine.model().backend.caps().clone();
        let effort = Effort::on(&caps);
        let all: u64 = tests.iter().map(|test| test.effort(effort)).sum();
        let bar = bar(MEASURING, all * (u64::from(self.repeat) + 1));
        let line = |test: Test| {
            bar.set_message(test.name());
            warm_up(&caps, &bar, || test.once(engine).map(drop))?;
            bar.inc(test.effort(effort));
            let run = |_| test.once(engine).inspect(|_| bar.inc(test.effort(effort)));
            Ok(Line { test: test.name(), rates: (0..self.repeat).map(run).collect::<Result<_>>()? })
        };
        tests.into_iter().map(line).collect()
    }
}

/// What is measured in a line.
#[derive(Clone, Copy)]
enum Test {
    /// A prompt of some tokens.
    Prompt(u32),
    /// Tokens of some sequences, each after `depth` others.
    Decode { tokens: u32, depth: u32, sequences: u32 },
}

impl Test {
    fn name(self) -> String {
        match self {
            Self::Prompt(tokens) => format!("pp{tokens}"),
            Self::Decode { tokens, depth, sequences } => format!("tg{tokens} @ d{depth} x{sequences}"),
        }
    }

    fn effort(self, effort: Effort) -> u64 {
        match self {
            Self::Prompt(tokens) => effort.together(1, tokens, 0),
            Self::Decode { tokens, depth, sequences } => effort.together(sequences, depth, tokens),
        }
    }

    /// Tokens per second of one run.
    fn once(self, engine: &mut Engine) -> Result<f64> {
        match self {
            Self::Prompt(tokens) => prefill(engine, tokens),
            Self::Decode { tokens, depth, sequences } => Ok(together(engine, (sequences, depth), tokens)?.decode()),
        }
    }
}

/// Tokens per sequence until all sequences decode: the first ones decode while the last ones prefill.
pub fn room(sequences: u32, depth: u32, budget: u32) -> u32 {
    if sequences > 1 { DryEngine::context(sequences, depth.max(1), budget) } else { depth.max(1) }
}

/// A greedy request that runs to its length.
pub fn request(prompt: Vec<u32>, max_tokens: u32, at_end: AtEnd) -> Request {
    Request { prompt, sampling: Sampling::greedy(), max_tokens: max_tokens as usize, stop: BTreeSet::new(), at_end }
}

/// Prompt tokens per second, up to the first token.
fn prefill(engine: &mut Engine, tokens: u32) -> Result<f64> {
    let started = Instant::now();
    engine.add(request(ids(tokens, engine.model().vocabulary), 1, AtEnd::Free))?;
    while !engine.is_idle() {
        engine.step()?;
    }
    Ok(f64::from(tokens) / started.elapsed().as_secs_f64())
}

/// The times of some sequences, all together.
pub struct Together {
    given: u64,
    prefill: Duration,
    decoded: usize,
    decode: Duration,
}

impl Together {
    /// Prefill speed in tokens per second, until each sequence had its first token.
    pub fn prefill(&self) -> f64 {
        self.given as f64 / self.prefill.as_secs_f64()
    }

    /// Decode speed in tokens per second, while all sequences decoded.
    pub fn decode(&self) -> f64 {
        self.decoded as f64 / self.decode.as_secs_f64()
    }
}

/// Prefills prompts of `depth` tokens, and then decodes `steps` steps of all sequences together.
pub fn together(engine: &mut Engine, (sequences, depth): (u32, u32), steps: u32) -> Result<Together> {
    let depth = depth.max(1);
    let (prompt, context) = (ids(depth, engine.model().vocabulary), engine.plan().context);
    let started = Instant::now();
    let max_tokens = if sequences > 1 { context } else { steps + 1 };
    let all = (0..sequences).map(|_| engine.add(request(prompt.clone(), max_tokens, AtEnd::Free)));
    let all = all.collect::<Result<BTreeSet<_>>>()?;
    let mut first = BTreeSet::new();
    while first.len() < all.len() && !engine.is_idle() {
        first.extend(engine.step()?.iter().map(|event| event.sequence));
    }
    let prefill = started.elapsed();
    let (started, mut decoded) = (Instant::now(), 0);
    for _ in 0..steps {
        decoded += engine.step()?.len();
    }
    let decode = started.elapsed();
    all.into_iter().for_each(|id| engine.cancel(id));
    Ok(Together { given: u64::from(sequences) * u64::from(depth), prefill, decoded, decode })
}

/// Device memory: weights, caches, and buffers of programs.
fn memory(engine: &Engine) -> [u64; 3] {
    let (weights, caches) = (engine.model().weights.bytes(), engine.plan().bytes(&engine.model().config));
    [weights, caches, engine.memory().saturating_sub(weights + caches)]
}

fn as_json(arguments: &Arguments, (engine, budget): (&Engine, u32), lines: &[Line]) -> Value {
    let (model, [weights, caches, programs]) = (engine.model(), memory(engine));
    let results = lines.iter().map(|line| json!({ "test": line.test, "median": line.median(), "rates": line.rates }));
    let dispatches = engine.dispatches().into_iter();
    let mut report = arguments.target.heading(model.backend.caps());
    let figures = json!({
        "parameters": model.config.parameters(), "inputs": model.weights.activations().to_string(),
        "kv": engine.plan().kv.to_string(), "context": engine.plan().context, "budget": budget,
        "memory_bytes": engine.memory(),
        "memory": { "weights": weights, "caches": caches, "programs": programs },
        "results": results.collect::<Vec<_>>(),
        "dispatches": dispatches.map(|(program, count)| json!({ "program": program, "count": count })).collect::<Vec<_>>(),
    });
    report.extend(figures.as_object().cloned().unwrap_or_default());
    report.into()
}

fn text(arguments: &Arguments, (engine, budget): (&Engine, u32), lines: &[Line]) -> String {
    let (model, caps) = (engine.model(), engine.model().backend.caps());
    let [weights, caches, programs] = memory(engine).map(size);
    let heading = format!(
        "{} ({} parameters, {weights}) on {} ({}), median of {}\nproducts of {}, keys and values in {}, {} a step, a \
         context of {}\n",
        arguments.target.name(),
        scaled(model.config.parameters()),
        caps.device,
        caps.backend,
        count(arguments.repeat),
        model.weights.activations(),
        engine.plan().kv,
        counted(budget as usize, "token"),
        count(engine.plan().context),
    );
    let row = |line: &Line| {
        let [lowest, highest] = line.spread();
        [line.test.clone()].into_iter().chain([line.median(), lowest, highest].map(rate)).collect()
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    let columns = [Column::text("test")].into_iter().chain(["tok/s", "least", "most"].map(Column::number));
    let made = engine.dispatches().into_iter().map(|(program, number)| format!("{program} {}", count(number as u64)));
    let closing = format!(
        "dispatches: {}\ndevice memory: {}: weights {weights}, caches {caches}, programs {programs}\n",
        made.collect::<Vec<_>>().join(", "),
        size(engine.memory()),
    );
    paragraph(&heading, 0) + &table(&columns.collect::<Vec<_>>(), &rows) + &paragraph(&closing, 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{path::Path, sync::Arc};

    use bimetal::{
        Backend, Checkpoint, EngineOptions, Model,
        low_level::{
            compute::{cpu::Cpu, dtype::DType},
            model::weights::Source,
        },
    };

    use super::*;

    /// Prompts of two steps each: the first sequence decodes long before the last has finished prefill.
    #[test]
    fn what_is_measured_is_all_sequences_together() {
        let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-tied-text-f32");
        let checkpoint = Checkpoint::open(&small).unwrap();
        let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
        let model = Model::load(&backend, &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {}).unwrap();
        let (sequences, depth, steps, budget) = (3, 100, 4, 67);
        let context = Some(room(sequences, depth, budget) + steps + 1);
        let mut engine = Engine::new(
            Arc::new(model),
            EngineOptions { context, budget: Some(budget), sequences, ..EngineOptions::default() },
        )
        .unwrap();
        for sequences in [1, 2, 3] {
            let measured = together(&mut engine, (sequences, depth), steps).unwrap();
            assert_eq!(measured.decoded, (sequences * steps) as usize);
            assert_eq!(measured.given, u64::from(sequences * depth));
            assert!(measured.prefill() > 0.0 && measured.decode() > 0.0);
            assert!(engine.is_idle());
        }
    }
}
