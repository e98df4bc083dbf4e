//! The groups of flags in the help. A flag without a group of its own would join the one before it.

use clap::Command;

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
