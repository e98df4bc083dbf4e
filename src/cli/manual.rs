//! `man`: manual pages, made of the same texts as the help.

use std::{fs, path::PathBuf};

use bimetal::{Error, Result};
use clap::{Args, Command};
use clap_mangen::{Man, generate_to};

use super::output::{note, print};

/// Flags of `man`.
#[derive(Args)]
pub struct Arguments {
    /// Write bimetal.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the page of the program, or writes all pages.
pub fn run(arguments: &Arguments, command: Command) -> Result<()> {
    let command = command.disable_help_subcommand(true);
    let Some(directory) = &arguments.out else { return print(&page(command)?) };
    fs::create_dir_all(directory).and_then(|()| generate_to(command, directory)).map_err(Error::io(directory))?;
    note(&format!("{}: the manual pages", directory.display()));
    Ok(())
}

fn page(command: Command) -> Result<String> {
    let mut bytes = Vec::new();
    Man::new(command).render(&mut bytes).map_err(Error::io("the manual page"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
