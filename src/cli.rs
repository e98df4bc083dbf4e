//! The command line: all commands and flags, here and in the modules below.

mod bench;
mod chat;
mod color;
mod compare;
mod devices;
mod evaluation;
mod figures;
mod generate;
mod habits;
mod info;
pub mod interrupt;
mod manual;
mod model;
pub mod output;
mod perplexity;
mod progress;
mod quantize;
mod sampling;
mod table;
mod terminal;
mod values;

use std::env;

use bimetal::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

/// Examples below the help.
const EXAMPLES: &str = "\
Examples:
  bimetal generate \"Once upon a time\"           continue a text with the built-in model
  bimetal chat -m Qwen/Qwen3.5-0.8B             talk with a model of the hub
  bimetal generate -m model.gguf --chat \"Why?\"  ask a GGUF file one question";

/// Runs Qwen3.5 language models on your own GPU.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Continue a text
    Generate(generate::Arguments),
    /// Hold a conversation
    #[command(visible_alias = "run")]
    Chat(chat::Arguments),
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
    /// Print the manual page, or write a page for each command
    Man(manual::Arguments),
}

/// Parses the command line and runs its command. Without a command it prints the help.
pub fn run() -> Result<()> {
    let (line, notes) = habits::translate(env::args_os().collect());
    let parsed = command().try_get_matches_from(&line).and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = parsed.unwrap_or_else(|mut error| {
        habits::advise(&mut error, &line);
        error.exit()
    });
    let Some(command) = arguments.command else { return output::print(&self::command().render_help().to_string()) };
    notes.iter().for_each(|told| output::note(told));
    match command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::Perplexity(arguments) => perplexity::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut self::command(), "bimetal", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
        Command::Man(arguments) => manual::run(&arguments, self::command()),
    }
}

/// The command line. The flags of the help itself come last.
fn command() -> clap::Command {
    Arguments::command()
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
