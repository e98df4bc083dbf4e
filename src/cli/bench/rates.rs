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
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    Arguments, largest,
    recording::{ids, warm_up},
    work::median,
};
use crate::cli::{
    output::{print, print_json},
    progress::{MEASURING, bar},
    table::table,
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
        let decoded = match largest(&self.decode) {
            0 => 0,
            decoded => room(largest(&self.sequences), largest(&self.depth), budget) + decoded,
        };
        let needed = largest(&self.prompt).max(decoded) + 1;
        self.target.context(config, needed, "-p, -d and -n")
    }

    fn lines(&self, engine: &mut Engine) -> Result<Vec<Line>> {
        let prompts: Vec<_> = self.prompt.iter().filter(|prompt| **prompt > 0).collect();
        let decoded: Vec<_> = self.decode.iter().filter(|decoded| **decoded > 0).collect();
        let tests = prompts.len() + self.depth.len() * decoded.len() * self.sequences.len();
        let bar = bar(MEASURING, tests as u64 * (u64::from(self.repeat) + 1));
        let mut lines = Vec::new();
        for &&prompt in &prompts {
            lines.push(measure((&bar, format!("pp{prompt}")), self.repeat, || prefill(engine, prompt))?);
        }
        for &depth in &self.depth {
            for &&decoded in &decoded {
                for &sequences in &self.sequences {
                    let name = format!("tg{decoded} @ d{depth} x{sequences}");
                    let once = || Ok(together(engine, (sequences, depth), decoded)?.decode());
                    lines.push(measure((&bar, name), self.repeat, once)?);
                }
            }
        }
        Ok(lines)
    }
}

/// Tokens per sequence until all sequences decode: the first ones decode while the last ones prefill.
pub fn room(sequences: u32, depth: u32, budget: u32) -> u32 {
    if sequences > 1 { DryEngine::context(sequences, depth.max(1), budget) } else { depth.max(1) }
}

fn measure((bar, test): (&ProgressBar, String), repeat: u32, mut once: impl FnMut() -> Result<f64>) -> Result<Line> {
    bar.set_message(test.clone());
    warm_up(|| once().map(drop))?;
    bar.inc(1);
    let rates = (0..repeat).map(|_| once().inspect(|_| bar.inc(1))).collect::<Result<_>>()?;
    Ok(Line { test, rates })
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
    let [weights, caches, programs] = memory(engine).map(|bytes| bytes.div_ceil(1 << 20));
    let heading = format!(
        "{} ({:.1} M parameters, {weights} MiB) on {} ({}), median of {}\nproducts of {}, keys and values in {}, {} \
         tokens a step, a context of {}\n",
        arguments.target.name(),
        model.config.parameters() as f64 / 1e6,
        caps.device,
        caps.backend,
        arguments.repeat,
        model.weights.activations(),
        engine.plan().kv,
        budget,
        engine.plan().context,
    );
    let row = |line: &Line| {
        let [lowest, highest] = line.spread();
        vec![line.test.clone(), format!("{:.1}", line.median()), format!("{lowest:.1}"), format!("{highest:.1}")]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    let made: Vec<_> = engine.dispatches().into_iter().map(|(program, count)| format!("{program} {count}")).collect();
    let memory = engine.memory().div_ceil(1 << 20);
    let closing = format!(
        "dispatches: {}\ndevice memory: {memory} MiB: weights {weights}, caches {caches}, programs {programs}\n",
        made.join(", ")
    );
    heading + &table(&["test", "tok/s", "least", "most"], &rows) + &closing
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
