//! The command line: all commands and flags, here and in the modules below.

mod advice;
mod bench;
mod cached;
mod chat;
mod color;
mod compare;
mod devices;
mod evaluation;
mod examples;
mod figures;
mod generate;
mod groups;
mod habits;
mod info;
pub mod interrupt;
mod located;
mod manual;
mod model;
pub mod output;
mod perplexity;
mod progress;
mod quantize;
mod rate;
mod sampling;
mod speeds;
mod table;
mod terminal;
mod values;
mod warm_up;
mod wrap;

use std::env;

use bimetal::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

/// Runs Qwen3.5 language models on your own GPU.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = examples::PROGRAM)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Continue a text
    #[command(after_help = examples::GENERATE)]
    Generate(generate::Arguments),
    /// Hold a conversation
    #[command(visible_alias = "run", after_help = examples::CHAT)]
    Chat(chat::Arguments),
    /// Download a model from the hub, or what is new in it
    #[command(visible_alias = "download", after_help = examples::PULL)]
    Pull(cached::PullArguments),
    /// List the downloaded models
    #[command(visible_alias = "list", after_help = examples::LS)]
    Ls(cached::ListArguments),
    /// Remove downloaded models
    #[command(visible_alias = "remove", after_help = examples::RM)]
    Rm(cached::RemoveArguments),
    /// List backends and devices, and which one is taken by itself
    #[command(after_help = examples::DEVICES)]
    Devices(devices::Arguments),
    /// Show what a checkpoint holds and how much memory it needs
    #[command(after_help = examples::INFO)]
    Info(info::Arguments),
    /// Write a checkpoint with quantized weights
    #[command(after_help = examples::QUANTIZE)]
    Quantize(quantize::Arguments),
    /// Measure how well a model foresees a text
    #[command(after_help = examples::PERPLEXITY)]
    Perplexity(perplexity::Arguments),
    /// Measure how far a model is from another one of its family, such as itself with quantized weights
    #[command(after_help = examples::COMPARE)]
    Compare(compare::Arguments),
    /// Measure prefill and decode
    #[command(after_help = examples::BENCH)]
    Bench(Box<bench::Arguments>),
    /// Print completions for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write a page for each command
    #[command(after_help = examples::MAN)]
    Man(manual::Arguments),
}

/// Parses the command line and runs its command. Without a command it prints the help.
pub fn run() -> Result<()> {
    let (line, notes) = habits::translate(env::args_os().collect());
    let parsed = command().try_get_matches_from(&line).and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = parsed.unwrap_or_else(|error| advice::advised(error, &line, command()).exit());
    let Some(command) = arguments.command else { return output::print(&self::command().render_help().to_string()) };
    notes.iter().for_each(|told| output::note(told));
    match command {
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
            clap_complete::generate(shell, &mut self::command(), "bimetal", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
        Command::Man(arguments) => manual::run(&arguments, self::command()),
    }
}

/// The command line.
fn command() -> clap::Command {
    // The last one of a flag counts, so that an alias of a shell can be corrected.
    groups::help(groups::group(Arguments::command())).args_override_self(true)
}

#[cfg(test)]
mod tests {
    use super::{Arguments, CommandFactory, habits};

    /// Without this test, two flags with the same short name would only fail when their command is used.
    #[test]
    fn the_flags_of_every_command_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// The line of arguments is translated to names with hyphens.
    #[test]
    fn no_flag_has_an_underscore() {
        fn check(command: &clap::Command) {
            for flag in command.get_arguments() {
                let names = flag.get_all_aliases().into_iter().flatten().chain(flag.get_long());
                names.for_each(|name| assert!(!name.contains('_'), "{name}"));
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    /// The words of a shell's line up to a pipe or a redirection.
    fn words(line: &str) -> Vec<std::ffi::OsString> {
        let (mut words, mut is_quoted) = (vec![String::new()], false);
        for character in line.chars() {
            match character {
                '"' => is_quoted = !is_quoted,
                '|' | '>' if !is_quoted => break,
                ' ' if !is_quoted => words.push(String::new()),
                _ => words.last_mut().expect("at least one").push(character),
            }
        }
        words.into_iter().filter(|word| !word.is_empty()).map(Into::into).collect()
    }

    #[test]
    fn every_command_has_examples_and_each_is_understood() {
        let program = Arguments::command();
        let mut count = 0;
        for command in program.get_subcommands().chain([&program]) {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.starts_with("Examples:\n  "), "{}: {examples}", command.get_name());
            for line in examples.lines().filter_map(|line| Some(&line[line.find("bimetal ")?..])) {
                // What stands to the right of a command explains it.
                let line = line.split("  ").next().unwrap_or_default();
                let (translated, notes) = habits::translate(words(line));
                let outcome = Arguments::command().try_get_matches_from(translated);
                assert!(
                    outcome.is_ok() && notes.is_empty(),
                    "{line}: {:?}",
                    outcome.err().map(|error| error.to_string())
                );
                count += 1;
            }
        }
        assert!(count > 20, "{count} examples");
    }
}
