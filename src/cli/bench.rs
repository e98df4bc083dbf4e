//! `bench`: how fast it is, and where the time goes.

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

/// Far above any context, and far below where sums of lengths overflow.
const LONGEST: i64 = 1 << 24;

/// Flags of `bench`.
#[derive(Args)]
#[command(allow_negative_numbers = true, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    target: Target,
    /// Lengths of prompts to measure; 0 for none
    #[arg(short = 'p', long, value_name = "TOKENS", value_delimiter = ',', default_value = "512", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    prompt: Vec<u32>,
    /// Tokens to decode; 0 for none
    #[arg(short = 'n', long, value_name = "TOKENS", value_delimiter = ',', default_value = "128", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    decode: Vec<u32>,
    /// Tokens that are there before decoding
    #[arg(short = 'd', long, value_name = "TOKENS", value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u32).range(..=LONGEST))]
    depth: Vec<u32>,
    /// Sequences decoded together
    #[arg(short = 's', long, value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1024))]
    sequences: Vec<u32>,
    /// Runs of each, after one that does not count
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Compute a prompt of 1,000 tokens in chunks and token by token, and compare
    #[arg(long, group = "instead", conflicts_with = "json")]
    compare_loop: bool,
    /// Time every launch of decode steps (-s, -d) and of prompt chunks (--budget, -d) by the device's clock
    #[arg(long, groups = ["instead", "launches"], conflicts_with_all = ["prompt", "decode"])]
    profile: bool,
    /// With --profile: write the launches to a file that Perfetto and chrome://tracing show
    #[arg(long, value_name = "FILE", requires = "profile")]
    trace: Option<PathBuf>,
    /// With --plan or --profile: the chip whose floor is shown; if absent all chips, or that of the device if it is known
    #[arg(long, value_name = "NAME", requires = "launches")]
    chip: Option<String>,
    #[command(flatten)]
    plan: plan::PlanArguments,
}

/// What else there is to measure.
#[derive(Subcommand)]
enum Command {
    /// Time one kernel alone, as a decode step and a prompt's chunk launch it
    Kernel(kernel::Arguments),
    /// Measure how prefill and decode slow down with the context, and how they gain from more sequences
    Growth(growth::Arguments),
}

/// Measures and prints.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Some(Command::Kernel(kernel)) => return kernel::run(kernel),
        Some(Command::Growth(growth)) => return growth::run(growth),
        None => {}
    }
    if most(&arguments.prompt) == 0 && most(&arguments.decode) == 0 {
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

/// The largest of some numbers.
fn most(list: &[u32]) -> u32 {
    list.iter().copied().max().unwrap_or(0)
}
