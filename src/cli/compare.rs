//! `compare`: the differences of a model from a reference.

use std::{borrow::Cow, path::PathBuf, time::Duration};

use bimetal::{
    Checkpoint, Error, Precision, Result,
    low_level::{generate::TextAssets, hub::RepoSpec, model::weights::Source},
    measure::perplexity::{Comparison, Mean, Side, compare},
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    evaluation::{TextArguments, figure, figure_json, places, rate, report, require_complete, timed},
    figures::{self, counted, fixed},
    model::{DeviceArguments, ModelArguments, PrecisionArguments, Quant, weights},
    output::{print, print_json},
    table::{Column, paragraph, table},
};

/// Flags of `compare`.
#[derive(Args)]
pub struct Arguments {
    /// The reference model.
    #[command(flatten)]
    model: ModelArguments,
    /// Model to compare with the reference: the same one with weights in q8, q4 or none, or another checkpoint with the
    /// same vocabulary
    #[arg(short, long, value_name = "FORMAT|DIR|OWNER/NAME")]
    against: PathBuf,
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

/// The model to compare with the reference.
enum Against {
    /// The reference's checkpoint with weights in another format.
    Format(Quant),
    /// Another checkpoint.
    Checkpoint(ModelArguments),
}

impl Arguments {
    /// The other model's name in messages.
    fn name(&self) -> Cow<'_, str> {
        self.against.to_string_lossy()
    }

    fn against(&self) -> Result<Against> {
        let name = self.name();
        match Quant::from_str(&name, false) {
            Ok(format) => Ok(Against::Format(format)),
            Err(_) if self.against.exists() || RepoSpec::parse(&name).is_some() => {
                Ok(Against::Checkpoint(ModelArguments { model: Some(self.against.clone()) }))
            }
            Err(_) => Err(Error::Request(format!(
                "--against {name} is neither a format (q8, q4 or none) nor a directory, nor OWNER/NAME on the hub"
            ))),
        }
    }
}

/// Compares the models and prints the result.
pub fn run(arguments: &Arguments) -> Result<()> {
    let against = arguments.against()?;
    let text = arguments.text.read()?;
    let checkpoint = arguments.model.open()?;
    let cut = arguments.text.cut(checkpoint.config())?;
    let passage = arguments.text.passage(&text, &TextAssets::of(&checkpoint)?.tokenizer, cut)?;
    let other = match &against {
        Against::Format(_) => None,
        Against::Checkpoint(other) => Some(other.open()?),
    };
    if let Some(other) = &other {
        require_alike(arguments, [&checkpoint, other], &text)?;
    }
    drop(text);
    let backend = arguments.device.open()?;
    let precision = arguments.precision.precision();
    let other_weights = if let Against::Format(format) = against { format.into() } else { None };
    let other_precision = Precision { weights: other_weights, ..precision };
    let load = |checkpoint: &Checkpoint, precision| {
        let model = weights(&backend, &Source::Checkpoint(checkpoint), precision)?;
        Ok(Side { model, kv: arguments.precision.kv.into() })
    };
    let sides = [load(&checkpoint, precision)?, load(other.as_ref().unwrap_or(&checkpoint), other_precision)?];
    drop((checkpoint, other));
    if !arguments.json {
        print(&arguments.text.protocol(&passage, cut))?;
    }
    let (measured, time) =
        timed(backend.caps(), &passage, |passage, progress| compare(sides.each_ref(), passage, progress))?;
    if arguments.json {
        let own = json!({
            "model": arguments.model.name(), "against": arguments.name(),
            "precision": arguments.precision.as_json(sides[0].model.weights.activations()), "text": arguments.text.as_json(&passage, cut),
        });
        print_json(&report(backend.caps(), [own, figures(&measured)], (&measured.extent, time)))?;
    } else {
        let heading = paragraph(&format!("{} against {}\n", arguments.model.name(), arguments.name()), 0);
        print(&(heading + &rows(&measured) + &closing(&measured, time)))?;
    }
    require_complete(&measured.extent, &passage)
}

/// Checks that each id means the same text in both models.
fn require_alike(arguments: &Arguments, [ours, theirs]: [&Checkpoint; 2], text: &str) -> Result<()> {
    let [vocabulary, other] = [ours, theirs].map(|checkpoint| checkpoint.config().vocabulary);
    let refuse = |what: String| {
        let names = format!("{} and --against {}", arguments.model.name(), arguments.name());
        Err(Error::Request(format!("{names} cannot be compared: {what}; give models of one family")))
    };
    if vocabulary != other {
        return refuse(format!("their vocabularies have {vocabulary} and {other} ids"));
    }
    let [ours, theirs] =
        [TextAssets::of(ours)?.tokenizer.encode(text)?, TextAssets::of(theirs)?.tokenizer.encode(text)?];
    match ours == theirs {
        true => Ok(()),
        false => refuse("their tokenizers make different ids of the text".into()),
    }
}

fn figures(measured: &Comparison) -> Value {
    let [median, q99, largest] = measured.divergence_quantiles;
    let [low, high] = measured.gained_quantiles;
    json!({
        "perplexity": figure_json(measured.reference.exp()), "against_perplexity": figure_json(measured.against.exp()),
        "ratio": figure_json(measured.log_ratio.exp()), "log_ratio": figure_json(measured.log_ratio),
        "kl": {
            "mean": measured.divergence.value, "error": measured.divergence.error, "median": median, "q99": q99,
            "largest": largest,
        },
        "same_top": figure_json(measured.same_top),
        "probability_change": {
            "mean": measured.gained.value, "error": measured.gained.error, "root_mean_square": measured.gained_root,
            "q1": low, "q99": high,
        },
    })
}

fn rows(measured: &Comparison) -> String {
    let min_places = |unit: &str| if unit.is_empty() { 4 } else { 2 };
    let with_error = |name: &str, mean: Mean, unit: &str| {
        let text = figure(mean, min_places(unit));
        let (value, error) = text.split_once(" ± ").unwrap_or((&text, ""));
        vec![name.to_string(), format!("{value}{unit}"), format!("{error}{unit}")]
    };
    let alone = |name: &str, value: f64, unit: &str| {
        let places = places(value.abs(), min_places(unit));
        vec![name.to_string(), fixed(value, places) + unit, String::new()]
    };
    let percent = |mean: Mean| Mean { value: 100.0 * mean.value, error: 100.0 * mean.error };
    let [median, q99, largest] = measured.divergence_quantiles;
    let [low, high] = measured.gained_quantiles.map(|share| 100.0 * share);
    let rows = [
        with_error("perplexity", measured.reference.exp(), ""),
        with_error("perplexity against", measured.against.exp(), ""),
        with_error("ratio", measured.log_ratio.exp(), ""),
        with_error("log of the ratio", measured.log_ratio, ""),
        with_error("KL divergence, mean", measured.divergence, ""),
        alone("KL divergence, median", median, ""),
        alone("KL divergence, 99 %", q99, ""),
        alone("KL divergence, largest", largest, ""),
        with_error("same top-1", percent(measured.same_top), " %"),
        with_error("change of p, mean", percent(measured.gained), " %"),
        alone("change of p, root mean square", 100.0 * measured.gained_root, " %"),
        alone("change of p, 1 %", low, " %"),
        alone("change of p, 99 %", high, " %"),
    ];
    table(&[Column::text(""), Column::number("figure"), Column::number("error")], &rows)
}

fn closing(measured: &Comparison, time: Duration) -> String {
    let (scored, rate) = (counted(measured.extent.scored, "id"), figures::rate(rate(&measured.extent, time)));
    format!("{scored} scored, {rate} tok/s; p is the probability of the id that came\n")
}
