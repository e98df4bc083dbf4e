//! What `bench growth` found: as tables, as JSON, and read again from that JSON.

use std::{fs, path::Path};

use bimetal::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::cli::{
    figures::{count, counted, fixed, rate},
    table::{Column, paragraph, table},
};

/// Speeds at one context, or with some number of sequences: medians in tokens per second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Point<At> {
    /// The context in tokens, or the number of sequences.
    #[serde(flatten)]
    pub at: At,
    /// Number of prompt tokens computed for this point.
    pub prompt_tokens: u64,
    /// Prefill speed of all sequences, until each had its first token.
    pub prefill: f64,
    /// Decode speed of all sequences together.
    pub decode: f64,
}

/// A context of one sequence.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Context {
    /// Its tokens.
    pub context: u32,
}

/// Sequences that are computed together.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sequences {
    /// Their number.
    pub sequences: u32,
}

/// All measurements, and what they were made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The program's version.
    pub version: String,
    /// The backend's name.
    pub backend: String,
    /// The device's name.
    pub device: String,
    /// The driver.
    pub driver: String,
    /// The model's name, or a published size.
    pub model: String,
    /// Whether the weights are random ones of that size.
    pub random_weights: bool,
    /// Type of weights on the device; `none` for the checkpoint's.
    pub quant: String,
    /// Type of the inputs of matrix products.
    pub inputs: String,
    /// Type of keys and values.
    pub kv: String,
    /// Most tokens of a step.
    pub budget: u32,
    /// Runs of each measurement.
    pub repeat: u32,
    /// Tokens that each sequence decodes.
    pub decode_tokens: u32,
    /// Tokens before them, where several sequences decode.
    pub depth: u32,
    /// By context of one sequence.
    pub contexts: Vec<Point<Context>>,
    /// By number of sequences.
    pub sequences: Vec<Point<Sequences>>,
}

impl Report {
    /// Reads the JSON of an earlier run.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`], naming the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let refuse = |what: String| Error::Format { file: path.into(), what };
        let report: Self = serde_json::from_str(&text)
            .map_err(|why| refuse(format!("expected what `bench growth --json` prints: {why}")))?;
        let is_speed = |rate: f64| rate.is_finite() && rate > 0.0;
        let contexts = report.contexts.iter().all(|point| is_speed(point.prefill) && is_speed(point.decode));
        let sequences = report.sequences.iter().all(|point| is_speed(point.prefill) && is_speed(point.decode));
        if report.contexts.is_empty() || report.sequences.is_empty() || !contexts || !sequences {
            return Err(refuse("expected speeds above zero, by context and by number of sequences".into()));
        }
        Ok(report)
    }

    /// The program, the device and the model.
    pub fn subject(&self) -> String {
        let Self { version, backend, device, model, .. } = self;
        let model = match self.random_weights {
            true => format!("the shape of Qwen3.5-{} with random weights", model.to_uppercase()),
            false => model.clone(),
        };
        format!("bimetal {version}, {device} ({backend}), {model}")
    }

    /// The settings of the measurement.
    pub fn settings(&self) -> String {
        let weights = if self.quant == "none" { String::new() } else { format!("weights in {}, ", self.quant) };
        format!(
            "{weights}products of {}, keys and values in {}, {} a step; median of {}, {} decoded",
            self.inputs,
            self.kv,
            counted(self.budget as usize, "token"),
            counted(self.repeat as usize, "run"),
            counted(self.decode_tokens as usize, "token"),
        )
    }

    /// The tables.
    pub fn text(&self) -> String {
        let heading = paragraph(&format!("{}\n{}\n", self.subject(), self.settings()), 0);
        let depth = counted(self.depth as usize, "token");
        format!("{heading}\n{}\nafter {depth} each:\n{}", self.by_context(), self.by_sequences())
    }

    fn by_context(&self) -> String {
        let highest = self.contexts.iter().map(|point| point.prefill).fold(0.0, f64::max);
        let row = |point: &Point<Context>| {
            let percent = |part: f64, whole: f64| fixed(100.0 * part / whole, 1);
            vec![
                count(point.at.context),
                rate(point.prefill),
                percent(point.prefill, highest),
                rate(point.decode),
                percent(point.decode, self.contexts[0].decode),
            ]
        };
        let columns = ["context", "prefill\ntok/s", "% of\nthe most", "decode\ntok/s", "% of\nthe first"];
        table(&columns.map(Column::number), &self.contexts.iter().map(row).collect::<Vec<_>>())
    }

    fn by_sequences(&self) -> String {
        let row = |point: &Point<Sequences>| {
            let each = point.decode / f64::from(point.at.sequences);
            let rates = [point.prefill, point.decode, each].map(rate);
            let times = fixed(point.decode / self.sequences[0].decode, 2);
            [count(point.at.sequences)].into_iter().chain(rates).chain([times]).collect()
        };
        let columns = ["sequences", "prefill\ntok/s", "decode\ntok/s", "each", "times\nthe first"];
        table(&columns.map(Column::number), &self.sequences.iter().map(row).collect::<Vec<_>>())
    }
}
