//! `bench`: speed, and time per kernel.

mod chunked;
mod growth;
mod kernel;
mod picture;
mod plan;
mod profile;
mod rates;
mod recording;
mod target;
mod trace;
mod work;

use std::path::PathBuf;

use bimetal::{Error, Result};
use clap::{Args, Subcommand};

use target::Target;

/// Far above any context; sums of lengths cannot overflow.
const LONGEST: i64 = 1 << 24;

/// Flags of `bench`.
#[derive(Args)]
#[command(allow_negative_numbers = true, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    target: Target,
    /// Prompt lengths to measure; 0 for none
    #[arg(short = 'p', long, value_name = "TOKENS", value_delimiter = ',', default_value = "512", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    prompt: Vec<u32>,
    /// Numbers of tokens to decode; 0 for none
    #[arg(short = 'n', long, value_name = "TOKENS", value_delimiter = ',', default_value = "128", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    decode: Vec<u32>,
    /// Tokens in the context before decoding
    #[arg(short = 'd', long, value_name = "TOKENS", value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    depth: Vec<u32>,
    /// Numbers of sequences decoded together
    #[arg(short = 's', long, value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1024))]
    sequences: Vec<u32>,
    /// Measured runs, after one warm-up run
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Compute a prompt of 1,000 tokens in chunks and token by token, and compare
    #[arg(long, group = "instead", conflicts_with = "json")]
    compare_loop: bool,
    /// Time each dispatch of decode steps (-s, -d) and of prefill chunks (--budget, -d) with the device's clock
    #[arg(long, groups = ["instead", "dispatches"], conflicts_with_all = ["prompt", "decode"])]
    profile: bool,
    /// With --profile: write the dispatches to a file for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE", requires = "profile")]
    trace: Option<PathBuf>,
    /// With --plan or --profile: the chip of the roofline; if absent, all chips, or the device's if known
    #[arg(long, value_name = "NAME", requires = "dispatches")]
    chip: Option<String>,
    #[command(flatten)]
    plan: plan::PlanArguments,
}

/// Other measurements.
#[derive(Subcommand)]
enum Command {
    /// Time one kernel alone, with the dispatches of a decode step and of a prefill chunk
    Kernel(kernel::Arguments),
    /// Measure prefill and decode speed by context length and by number of sequences
    Growth(growth::Arguments),
}

/// Measures speeds and prints them.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Some(Command::Kernel(kernel)) => return kernel::run(kernel),
        Some(Command::Growth(growth)) => return growth::run(growth),
        None => {}
    }
    if largest(&arguments.prompt) == 0 && largest(&arguments.decode) == 0 {
        return Err(Error::Request("-p 0 -n 0 measures nothing; give one of them a length".into()));
    }
    if arguments.plan.plan {
        return plan::run(arguments);
    }
    if arguments.profile {
        return profile::run(arguments);
    }
    if !arguments.compare_loop {
        return rates::run(arguments);
    }
    let origin = arguments.target.open()?;
    let backend = arguments.target.device.open()?;
    let options = arguments.target.engine.options(1, 0);
    let model = arguments.target.load(&backend, &origin, options.precision)?;
    chunked::compare(&model, &options.engine)
}

/// The maximum of some numbers.
fn largest(list: &[u32]) -> u32 {
    list.iter().copied().max().unwrap_or(0)
}
