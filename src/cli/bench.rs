//! `bench`: speed, and time per kernel.

mod chunked;
mod effort;
mod growth;
mod kernel;
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

use super::values::whole;
use target::Target;

/// Far above any context; sums of lengths cannot overflow.
const LONGEST: u64 = 1 << 24;

/// Flags of `bench`.
#[derive(Args)]
#[command(allow_negative_numbers = true, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    target: Target,
    /// Prompt lengths to measure; 0 for none [default: 512; with --profile, one chunk]
    #[arg(short = 'p', long, value_name = "TOKENS", value_delimiter = ',', value_parser = whole::<u32>(0..=LONGEST, ""))]
    prompt: Vec<u32>,
    /// Numbers of tokens to decode; 0 for none [default: 128; with --profile, one step]
    #[arg(short = 'n', long, value_name = "TOKENS", value_delimiter = ',', value_parser = whole::<u32>(0..=LONGEST, ""))]
    decode: Vec<u32>,
    /// Tokens in the context before decoding
    #[arg(short = 'd', long, value_name = "TOKENS", value_delimiter = ',', default_value = "0", value_parser = whole::<u32>(0..=LONGEST, ""))]
    depth: Vec<u32>,
    /// Numbers of sequences decoded together
    #[arg(short = 'S', long, value_delimiter = ',', default_value = "1", value_parser = whole::<u32>(1..=1024, ""))]
    sequences: Vec<u32>,
    /// Measured runs, after one warm-up run
    #[arg(short, long, default_value_t = 5, value_parser = whole::<u32>(1..=1000, ""))]
    repeat: u32,
    /// Compute a prompt of 1,000 tokens in chunks and token by token, and compare
    #[arg(long, group = "instead", conflicts_with = "json")]
    compare_loop: bool,
    /// Time each dispatch with the device's clock: of the decode step that makes the last of -n tokens after -d others,
    /// for each of -S; and of each chunk (--budget) of a prompt of -p tokens after -d others
    #[arg(long, group = "instead")]
    profile: bool,
    /// With --profile: write the dispatches to a file for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// With --plan or --profile: the chip of the roofline; if absent, all chips, or the device's if known
    #[arg(long, value_name = "NAME")]
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
    arguments.require_partners()?;
    if largest(&arguments.prompts()) == 0 && largest(&arguments.decodes()) == 0 {
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

impl Arguments {
    /// The prompt lengths.
    fn prompts(&self) -> Vec<u32> {
        if self.prompt.is_empty() { vec![512] } else { self.prompt.clone() }
    }

    /// The numbers of tokens to decode.
    fn decodes(&self) -> Vec<u32> {
        if self.decode.is_empty() { vec![128] } else { self.decode.clone() }
    }

    /// Refuses flags that do nothing without another one. The parser cannot: the other one may conflict with a third.
    fn require_partners(&self) -> Result<()> {
        let refuse = |flag: &str, partner: &str| {
            Err(Error::Request(format!("{flag} does nothing without {partner}: add it, or leave {flag} out")))
        };
        match (&self.trace, self.plan.gpu, &self.chip) {
            (Some(_), _, _) if !self.profile => refuse("--trace", "--profile"),
            (_, Some(_), _) if !self.plan.plan => refuse("--gpu", "--plan"),
            _ if self.plan.kernels && !self.plan.plan => refuse("--kernels", "--plan"),
            (_, _, Some(_)) if !(self.plan.plan || self.profile) => refuse("--chip", "--plan or --profile"),
            _ => Ok(()),
        }
    }
}

/// The maximum of some numbers.
fn largest(list: &[u32]) -> u32 {
    list.iter().copied().max().unwrap_or(0)
}
