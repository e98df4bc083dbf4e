//! The command line: all commands and flags, here and in the modules below.

mod bench;
mod cached;
mod chat;
mod compare;
mod devices;
mod evaluation;
mod generate;
mod info;
mod interrupt;
mod located;
mod model;
pub mod output;
mod perplexity;
mod progress;
mod quantize;
mod sampling;
mod table;

use bimetal::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// Runs Qwen3.5 language models on your own GPU.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Continue a text
    Generate(generate::Arguments),
    /// Hold a conversation
    Chat(chat::Arguments),
    /// Download a model from the hub, or what is new in it
    #[command(visible_alias = "download")]
    Pull(cached::PullArguments),
    /// List the downloaded models
    #[command(visible_alias = "list")]
    Ls(cached::ListArguments),
    /// Remove downloaded models
    #[command(visible_alias = "remove")]
    Rm(cached::RemoveArguments),
    /// List backends and devices, and which one is taken by itself
    Devices(devices::Arguments),
    /// Show what a checkpoint holds and how much memory it needs
    Info(info::Arguments),
    /// Write a checkpoint with quantized weights
    Quantize(quantize::Arguments),
    /// Measure how well a model foresees a text
    Perplexity(perplexity::Arguments),
    /// Measure how far a model is from another one of its family, such as itself with quantized weights
    Compare(compare::Arguments),
    /// Measure prefill and decode
    Bench(Box<bench::Arguments>),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Parses the command line and runs its command.
pub fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Pull(arguments) => cached::pull(&arguments),
        Command::Ls(arguments) => cached::list(&arguments),
        Command::Rm(arguments) => cached::remove(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::Perplexity(arguments) => perplexity::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "bimetal", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, CommandFactory};

    /// Without this test, two flags with the same short name would only fail when their command is used.
    #[test]
    fn the_flags_of_every_command_are_consistent() {
        Arguments::command().debug_assert();
    }
}
