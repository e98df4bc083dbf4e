//! The groups of flags in the help. A flag without a group of its own would join the one before it.

use clap::{Arg, ArgAction, Command};

const OUTPUT: [&str; 4] = ["json", "svg", "trace", "from"];
const MEASUREMENT: [&str; 13] = [
    "prompt",
    "decode",
    "depth",
    "sequences",
    "repeat",
    "compare_loop",
    "profile",
    "chip",
    "plan",
    "kernels",
    "gpu",
    "contexts",
    "cold",
];

/// Puts the flags of every command into groups.
pub fn group(command: Command) -> Command {
    let command = command
        .mut_args(|flag| if OUTPUT.contains(&flag.get_id().as_str()) { flag.help_heading("Output") } else { flag });
    command.mut_subcommands(|sub| {
        let sub = group(sub);
        if sub.get_name() == "bench" { measurement(sub) } else { sub }
    })
}

/// Gives every command its flags for help and version, in a group of their own after all others.
pub fn help(command: Command) -> Command {
    let flag = |id: &'static str, short, action| {
        Arg::new(id).long(id).short(short).action(action).help(format!("Print {id}")).help_heading("Help")
    };
    let command = command.version(env!("CARGO_PKG_VERSION")).disable_help_flag(true).disable_version_flag(true);
    let command = command.mut_subcommands(help);
    command.arg(flag("help", 'h', ArgAction::Help)).arg(flag("version", 'V', ArgAction::Version))
}

fn measurement(command: Command) -> Command {
    let is_one = |id: &str| MEASUREMENT.contains(&id);
    let command =
        command.mut_args(|flag| if is_one(flag.get_id().as_str()) { flag.help_heading("Measurement") } else { flag });
    command.mut_subcommands(measurement)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn help_comes_last_under_its_own_heading() {
        // clap's own command for help has no flags.
        fn below(command: &mut Command) -> impl Iterator<Item = &mut Command> {
            command.get_subcommands_mut().filter(|command| command.get_name() != "help")
        }
        fn check(command: &mut Command) {
            let text = command.render_long_help().to_string();
            let is_heading = |line: &&str| line.ends_with(':') && line.starts_with(|first: char| first.is_alphabetic());
            let headings: Vec<_> = text.lines().filter(is_heading).filter(|line| *line != "Examples:").collect();
            assert_eq!(headings.last(), Some(&"Help:"), "{text}");
            let (others, own) = text.split_once("\nHelp:\n").expect("the heading");
            let flags = ["  -h, --help", "  -V, --version"];
            assert!(flags.iter().all(|flag| own.contains(flag) && !others.contains(flag)), "{text}");
            below(command).for_each(check);
        }
        let mut program = help(group(Arguments::command()));
        program.build();
        program.clone().debug_assert();
        below(&mut program).for_each(check);
    }

    #[test]
    fn the_groups_know_no_flags_that_are_gone() {
        fn ids(command: &Command) -> Vec<String> {
            let own = command.get_arguments().map(|flag| flag.get_id().to_string());
            own.chain(command.get_subcommands().flat_map(ids)).collect()
        }
        let known = ids(&Arguments::command());
        for id in OUTPUT.iter().chain(&MEASUREMENT) {
            assert!(known.iter().any(|known| known == id), "{id}");
        }
    }
}
