//! `perplexity`: how well a model predicts a text.

use std::time::Duration;

use bimetal::{
    Result,
    low_level::{generate::TextAssets, model::weights::Source},
    measure::perplexity::{Perplexity, Side, perplexity},
};
use clap::Args;
use serde_json::json;

use super::{
    evaluation::{TextArguments, figure, figure_json, rate, report, require_complete, timed},
    figures::{self, counted},
    model::{DeviceArguments, ModelArguments, PrecisionArguments, weights},
    output::{print, print_json},
};

/// Flags of `perplexity`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    text: TextArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    precision: PrecisionArguments,
}

/// Measures perplexity and prints it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let text = arguments.text.read()?;
    let checkpoint = arguments.model.open()?;
    let cut = arguments.text.cut(checkpoint.config())?;
    let passage = arguments.text.passage(&text, &TextAssets::of(&checkpoint)?.tokenizer, cut)?;
    drop(text);
    let backend = arguments.device.open()?;
    let model = weights(&backend, &Source::Checkpoint(&checkpoint), arguments.precision.precision())?;
    drop(checkpoint);
    let side = Side { model, kv: arguments.precision.kv.into() };
    if !arguments.json {
        print(&arguments.text.protocol(&passage, cut))?;
    }
    let (measured, time) = timed(backend.caps(), &passage, |passage, progress| perplexity(&side, passage, progress))?;
    if arguments.json {
        let own = json!({
            "model": arguments.model.name(), "precision": arguments.precision.as_json(side.model.weights.activations()),
            "text": arguments.text.as_json(&passage, cut),
            "perplexity": figure_json(measured.perplexity()), "nll": figure_json(measured.nll),
        });
        print_json(&report(backend.caps(), [own], (&measured.extent, time)))?;
    } else {
        print(&closing(&measured, time))?;
    }
    require_complete(&measured.extent, &passage)
}

fn closing(measured: &Perplexity, time: Duration) -> String {
    format!(
        "perplexity {}, NLL {}, {} scored, {} tok/s\n",
        figure(measured.perplexity(), 4),
        figure(measured.nll, 5),
        counted(measured.extent.scored, "id"),
        figures::rate(rate(&measured.extent, time)),
    )
}
