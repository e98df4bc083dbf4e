//! `perplexity`: how well a model foresees a text.

use std::time::Duration;

use bimetal::{
    Result,
    evaluation::{Perplexity, Side, perplexity},
    model::weights::Source,
    text::Text,
};
use clap::Args;
use serde_json::{Value, json};

use super::{
    evaluation::{TextArguments, device, figure, figure_json, require_complete, timed},
    model::{DeviceArguments, ModelArguments, PrecisionArguments, weights},
    output::{print, print_json},
};

/// Flags of `perplexity`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    precision: PrecisionArguments,
    #[command(flatten)]
    text: TextArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(arguments: &Arguments) -> Result<()> {
    let text = arguments.text.read()?;
    let checkpoint = arguments.model.open()?;
    let cut = arguments.text.cut(checkpoint.config())?;
    let passage = arguments.text.passage(&text, &Text::of(&checkpoint)?.tokenizer, cut)?;
    drop(text);
    let backend = arguments.device.open()?;
    let form = arguments.precision.form(backend.caps());
    let model = weights(&backend, &Source::Checkpoint(&checkpoint), form)?;
    drop(checkpoint);
    let side = Side { model, kv: arguments.precision.kv.into() };
    if !arguments.json {
        print(&arguments.text.protocol(&passage, cut))?;
    }
    let (measured, time) = timed(|progress| perplexity(&side, &passage, progress))?;
    if arguments.json {
        let mut report = device(backend.caps());
        report.insert("model".into(), arguments.model.name().into());
        report.insert("precision".into(), arguments.precision.as_json(form));
        report.insert("text".into(), arguments.text.as_json(&passage, cut));
        if let Value::Object(figures) = figures(&measured, time) {
            report.extend(figures);
        }
        print_json(&report.into())?;
    } else {
        print(&closing(&measured, time))?;
    }
    require_complete(&measured.extent, &passage)
}

fn figures(measured: &Perplexity, time: Duration) -> Value {
    let extent = measured.extent;
    json!({
        "perplexity": figure_json(measured.perplexity()), "nll": figure_json(measured.nll), "scored": extent.scored,
        "computed": extent.computed, "complete": extent.complete, "seconds": time.as_secs_f64(),
        "tokens_per_second": extent.computed as f64 / time.as_secs_f64(),
    })
}

fn closing(measured: &Perplexity, time: Duration) -> String {
    let extent = measured.extent;
    format!(
        "perplexity {}, NLL {:.5} ± {:.5}, {} ids scored, {:.1} tok/s\n",
        figure(measured.perplexity(), 4),
        measured.nll.value,
        measured.nll.error,
        extent.scored,
        extent.computed as f64 / time.as_secs_f64(),
    )
}
