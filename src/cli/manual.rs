//! `man`: manual pages, made of the same texts as the help.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bimetal::{Error, Result};
use clap::{Args, Command};
use clap_mangen::Man;

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
    let Some(directory) = &arguments.out else { return print(&page(&Man::new(command))?) };
    fs::create_dir_all(directory).map_err(Error::io(directory))?;
    let mut command = command;
    command.build();
    let count = write(&command, directory)?;
    note(&format!("{count} manual pages are in the directory {}", directory.display()));
    Ok(())
}

/// Writes the pages of a command and of those below it; returns how many.
fn write(command: &Command, directory: &Path) -> Result<usize> {
    let mut count = 1;
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        count += write(below, directory)?;
    }
    let page_of = Man::new(command.clone());
    let file = directory.join(page_of.get_filename());
    fs::write(&file, page(&page_of)?).map_err(Error::io(file))?;
    Ok(count)
}

fn page(page: &Man) -> Result<String> {
    let mut bytes = Vec::new();
    page.render(&mut bytes).map_err(Error::io("the manual page"))?;
    // What follows the flags of a help is examples alone.
    Ok(String::from_utf8_lossy(&bytes).replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n"))
}
