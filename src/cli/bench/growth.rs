//! `bench growth`: the cost of a longer context, and the gain of more sequences.
//!
//! One sequence grows from the shortest context to the longest. At each context it decodes for a while and then
//! continues, so nothing is computed twice.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bimetal::{
    Engine, EngineOptions, Error, Model, Result,
    low_level::{engine::AtEnd, model::config::Config},
};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    LONGEST, largest, picture,
    rates::{request, room, together},
    recording::{ids, warm_up},
    target::Target,
    work::median,
};
use crate::cli::{
    output::{note, print, print_json},
    progress::{MEASURING, bar},
    table::table,
};

/// Default contexts.
const USUAL: [u32; 10] = [128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];

/// Flags of `bench growth`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Contexts to measure, in increasing order; if absent, 128 doubled up to 65,536, within the model's maximum
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    contexts: Vec<u32>,
    /// Numbers of sequences computed together
    #[arg(short = 's', long, value_delimiter = ',', default_value = "1,2,4,8,16", value_parser = clap::value_parser!(u32).range(1..=1024))]
    sequences: Vec<u32>,
    /// Tokens in the context of each of several sequences before decoding
    #[arg(short = 'd', long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    depth: u32,
    /// Tokens to decode at each context, and per sequence
    #[arg(short = 'n', long, value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    decode: u32,
    /// Runs of each measurement
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Draw the speeds into an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Speeds at one context, or with some number of sequences: medians in tokens per second.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Context in tokens, or number of sequences.
    pub at: u32,
    /// Number of prompt tokens computed for this point.
    pub given: u32,
    /// Prefill speed: since the last context, or of all sequences until each had its first token.
    pub prefill: f64,
    /// Decode speed of all sequences together.
    pub decode: f64,
}

/// All measurements.
pub struct Growth {
    /// By context of one sequence.
    pub contexts: Vec<Point>,
    /// By number of sequences.
    pub sequences: Vec<Point>,
}

/// Measures speeds, prints and draws them.
pub fn run(arguments: &Arguments) -> Result<()> {
    let target = &arguments.target;
    let origin = target.open()?;
    let contexts = contexts(arguments, origin.config())?;
    let longest = target.context(origin.config(), largest(&contexts) + arguments.decode + 1, "--contexts and -n")?;
    if let Some(path) = &arguments.svg {
        // First, so that a file that cannot be written fails before the measurement.
        fs::File::create(path).map_err(Error::io(path))?;
    }
    let backend = target.device.open()?;
    let options = target.engine.options(1, 0);
    let budget = options.engine.budget_on(backend.caps());
    let many = room(largest(&arguments.sequences), arguments.depth, budget) + arguments.decode + 1;
    let many = target.context(origin.config(), many, "-s, -d and -n")?;
    let model = target.load(&backend, &origin, options.precision)?;
    let rounds = contexts.len() + arguments.sequences.len();
    let bar = bar(MEASURING, rounds as u64 * u64::from(arguments.repeat));
    let over =
        arguments.over_contexts(&model, EngineOptions { context: Some(longest), ..options.engine }, &contexts, &bar)?;
    let together = EngineOptions { context: Some(many), sequences: largest(&arguments.sequences), ..options.engine };
    let growth = Growth { contexts: over, sequences: arguments.over_sequences(&model, together, &bar)? };
    drop(bar);
    let caps = backend.caps();
    let title = format!("{} on {} ({}), median of {}", target.name(), caps.device, caps.backend, arguments.repeat);
    if let Some(path) = &arguments.svg {
        fs::write(path, picture::svg(&title, &growth)?).map_err(Error::io(path))?;
        note(&format!("{}: a picture of it", path.display()));
    }
    if target.json {
        let mut report = target.heading(caps);
        report.insert("contexts".into(), growth.contexts.iter().map(|point| as_json("context", point)).collect());
        report.insert("depth".into(), arguments.depth.into());
        report.insert("sequences".into(), growth.sequences.iter().map(|point| as_json("sequences", point)).collect());
        return print_json(&report.into());
    }
    print(&format!("{title}, tok/s\n\n{}", text(&growth, arguments.depth)))
}

/// The contexts to measure, with room for the decoded tokens between them.
fn contexts(arguments: &Arguments, config: &Config) -> Result<Vec<u32>> {
    let decode = arguments.decode;
    if arguments.contexts.is_empty() {
        let max_context = arguments.target.engine.context.unwrap_or(config.context).min(config.context);
        let usual: Vec<_> = USUAL.into_iter().filter(|context| context.saturating_add(decode) < max_context).collect();
        return if usual.is_empty() { Err(nothing(max_context)) } else { check(usual, decode) };
    }
    check(arguments.contexts.clone(), decode)
}

fn nothing(max_context: u32) -> Error {
    Error::Request(format!(
        "a context of {max_context} tokens is too short for any of the usual; give shorter --contexts"
    ))
}

fn check(contexts: Vec<u32>, decode: u32) -> Result<Vec<u32>> {
    match contexts.windows(2).find(|pair| pair[1] <= pair[0].saturating_add(decode + 1)) {
        None => Ok(contexts),
        Some(pair) => Err(Error::Request(format!(
            "--contexts {} comes too soon after {}: {decode} tokens are decoded between them (-n), and some more must be \
             left to measure prefill with",
            pair[1], pair[0]
        ))),
    }
}

impl Arguments {
    fn over_contexts(
        &self,
        model: &Arc<Model>,
        options: EngineOptions,
        contexts: &[u32],
        bar: &ProgressBar,
    ) -> Result<Vec<Point>> {
        let mut engine = Engine::new(model.clone(), options)?;
        warm_up(|| grow(&mut engine, &contexts[..1], self.decode, &mut |_| {}).map(drop))?;
        let mut done = |context: u32| {
            bar.set_message(format!("{context} tokens"));
            bar.inc(1);
        };
        let runs = (0..self.repeat).map(|_| grow(&mut engine, contexts, self.decode, &mut done));
        Ok(medians(&runs.collect::<Result<Vec<_>>>()?))
    }

    fn over_sequences(&self, model: &Arc<Model>, options: EngineOptions, bar: &ProgressBar) -> Result<Vec<Point>> {
        let mut engine = Engine::new(model.clone(), options)?;
        let mut points = Vec::new();
        for &sequences in &self.sequences {
            bar.set_message(format!("{sequences} sequences"));
            let mut once = || -> Result<Vec<Point>> {
                let measured = together(&mut engine, (sequences, self.depth), self.decode)?;
                let given = sequences * self.depth;
                Ok(vec![Point { at: sequences, given, prefill: measured.prefill(), decode: measured.decode() }])
            };
            warm_up(|| once().map(drop))?;
            let runs = (0..self.repeat).map(|_| once().inspect(|_| bar.inc(1)));
            points.extend(medians(&runs.collect::<Result<Vec<_>>>()?));
        }
        Ok(points)
    }
}

/// Grows one sequence from context to context, and decodes some tokens at each.
fn grow(engine: &mut Engine, contexts: &[u32], decode: u32, done: &mut dyn FnMut(u32)) -> Result<Vec<Point>> {
    let vocabulary = engine.model().vocabulary;
    let (mut points, mut grown) = (Vec::new(), None);
    for &at in contexts {
        let started = Instant::now();
        let (id, given) = match grown {
            None => (engine.add(request(ids(at, vocabulary), decode + 1, AtEnd::Keep))?, at),
            Some(id) => {
                let mut tokens = engine.tokens(id).map(<[u32]>::to_vec).unwrap_or_default();
                tokens.extend(ids(at - tokens.len() as u32, vocabulary));
                let reused = engine.resume(id, request(tokens, decode + 1, AtEnd::Keep))?;
                (id, at - reused as u32)
            }
        };
        let (prefill, decoding) = finish(engine, started)?;
        let rate = |tokens: u32, time: Duration| f64::from(tokens) / time.as_secs_f64();
        points.push(Point { at, given, prefill: rate(given, prefill), decode: rate(decode, decoding) });
        grown = Some(id);
        done(at);
    }
    grown.into_iter().for_each(|id| engine.cancel(id));
    Ok(points)
}

/// The time to the first token, and from there to the last.
fn finish(engine: &mut Engine, started: Instant) -> Result<(Duration, Duration)> {
    while engine.step()?.is_empty() {}
    let first = started.elapsed();
    while !engine.is_idle() {
        engine.step()?;
    }
    Ok((first, started.elapsed() - first))
}

/// The median of several runs at each point.
fn medians(runs: &[Vec<Point>]) -> Vec<Point> {
    let middle = |at: usize, rate: fn(&Point) -> f64| median(runs.iter().map(|run| rate(&run[at])).collect());
    let points = runs[0].iter().enumerate();
    points
        .map(|(i, point)| Point { prefill: middle(i, |p| p.prefill), decode: middle(i, |p| p.decode), ..*point })
        .collect()
}

fn as_json(name: &str, point: &Point) -> Value {
    json!({ name: point.at, "prompt_tokens": point.given, "prefill": point.prefill, "decode": point.decode })
}

fn text(growth: &Growth, depth: u32) -> String {
    let Growth { contexts, sequences } = growth;
    let percent = |part: f64, whole: f64| format!("{:.1}", 100.0 * part / whole);
    let highest = contexts.iter().map(|point| point.prefill).fold(0.0, f64::max);
    let context = |point: &Point| {
        let rates = [point.prefill, point.decode].map(|rate| format!("{rate:.1}"));
        let shares = [percent(point.prefill, highest), percent(point.decode, contexts[0].decode)];
        let [prefill, decode] = rates;
        let [of_highest, of_first] = shares;
        vec![point.at.to_string(), prefill, of_highest, decode, of_first]
    };
    let sequence = |point: &Point| {
        let each = point.decode / f64::from(point.at);
        let times = point.decode / sequences[0].decode;
        let rates = [point.prefill, point.decode, each].map(|rate| format!("{rate:.1}"));
        [point.at.to_string()].into_iter().chain(rates).chain([format!("{times:.2}")]).collect()
    };
    let over_context = table(
        &["context", "prefill since the last", "% of the most", "decode", "% of the first"],
        &contexts.iter().map(context).collect::<Vec<_>>(),
    );
    let over_sequences = table(
        &["sequences", "prefill", "decode together", "each", "times the first"],
        &sequences.iter().map(sequence).collect::<Vec<_>>(),
    );
    format!("{over_context}\nafter {depth} tokens each:\n{over_sequences}")
}
