//! The program `bimetal`: starts the log and runs the command line.

mod cli;

use std::{io::Write, process::ExitCode};

use env_logger::{Builder, Env};
use log::Level;

/// The default log filter: only this crate's warnings. `RUST_LOG` turns on messages of drivers and libraries.
const LOG: &str = "off,bimetal=warn";

fn main() -> ExitCode {
    let mut log = Builder::from_env(Env::default().default_filter_or(LOG));
    log.format(|out, record| match record.level() {
        Level::Error | Level::Warn => writeln!(out, "warning: {}", record.args()),
        level => writeln!(out, "[{level} {}] {}", record.target(), record.args()),
    });
    log.init();
    match cli::run() {
        Ok(()) => cli::interrupt::exit_code(ExitCode::SUCCESS),
        Err(error) if cli::output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            cli::output::complain(&format!("error: {error}"));
            cli::interrupt::exit_code(ExitCode::FAILURE)
        }
    }
}
