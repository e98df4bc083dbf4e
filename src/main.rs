//! The command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    env_logger::init();
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
