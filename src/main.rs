//! The program `bimetal`: starts the log and runs the command line.

mod cli;

use std::process::ExitCode;

use env_logger::Env;

/// The default log filter: only this crate's warnings. `RUST_LOG` turns on messages of drivers and libraries.
const LOG: &str = "off,bimetal=warn";

fn main() -> ExitCode {
    env_logger::Builder::from_env(Env::default().default_filter_or(LOG)).init();
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if cli::output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            cli::output::complain(&format!("error: {error}"));
            cli::interrupt::exit_code()
        }
    }
}
