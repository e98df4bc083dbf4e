//! `quantize`: writes a checkpoint with quantized weights, as a directory that loads like any other.

use std::{path::PathBuf, time::Instant};

use bimetal::{
    Checkpoint, Result,
    low_level::{
        compute::dtype::DType,
        hub::size_text,
        model::checkpoint::{Existing, quantize},
    },
};
use clap::{Args, ValueEnum};

use super::{
    model::ModelArguments,
    output::note,
    progress::{QUANTIZING, bar},
};

/// Flags of `quantize`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint directory, or OWNER/NAME[@REVISION] on the Hugging Face hub
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The output directory; created if absent
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// q8 loses almost nothing; q4 is half its size
    #[arg(long)]
    format: Format,
    /// Replace files of the same names in OUT; weights there are never replaced
    #[arg(long)]
    force: bool,
}

/// A format of quantized weights.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// 8 bits per weight, and 16 bits per 32 weights.
    Q8,
    /// 4 bits per weight, and 9 bits per 16 weights.
    Q4,
}

/// Quantizes the weights and writes them.
pub fn run(arguments: &Arguments) -> Result<()> {
    let checkpoint = ModelArguments { model: Some(arguments.input.clone()) }.open()?;
    let format = match arguments.format {
        Format::Q8 => DType::Q8,
        Format::Q4 => DType::Q4,
    };
    let bar = bar(QUANTIZING, 0);
    let existing = if arguments.force { Existing::Replace } else { Existing::Refuse };
    let started = Instant::now();
    quantize(&checkpoint, &arguments.output, existing, format, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    drop(bar);
    let [before, after] = [checkpoint, Checkpoint::open(&arguments.output)?]
        .map(|checkpoint| checkpoint.summary().bytes.values().sum::<u64>());
    note(&format!(
        "{out}: {format}, {} of {} ({:.0} %), in {:.1} s; next: bimetal chat -m {out}",
        size_text(after),
        size_text(before),
        after as f64 / before as f64 * 100.0,
        started.elapsed().as_secs_f64(),
        out = arguments.output.display(),
    ));
    Ok(())
}
