//! `generate`: continues a text and streams it.

use std::io::{IsTerminal, Read, stdin};

use bimetal::{Error, Result, low_level::generate::Timing};
use clap::Args;

use super::{
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    output::{note, print},
    sampling::SamplingArguments,
};

/// Flags of `generate`.
#[derive(Args)]
pub struct Arguments {
    /// The beginning of the text; standard input without its last line end if absent or `-`
    prompt: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    engine: EngineArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
}

/// Continues a text on standard output; speeds and memory go to standard error.
pub fn run(arguments: &Arguments) -> Result<()> {
    let prompt = match arguments.prompt.as_deref() {
        None | Some("-") => from_stdin()?,
        Some(prompt) => prompt.to_string(),
    };
    if prompt.is_empty() {
        let what = "the prompt is empty: give the beginning of a text, as an argument or on standard input";
        return Err(Error::Request(what.into()));
    }
    arguments.sampling.check()?;
    let checkpoint = arguments.model.open()?;
    let backend = arguments.device.open()?;
    let mut generator = load(&backend, &checkpoint, arguments.engine.options(1, 0))?;
    drop(checkpoint);
    let options = arguments.sampling.options(generator.generation_options(), generator.text.advice);
    let mut stream = generator.stream(&prompt, &options)?;
    print(&prompt)?;
    for piece in &mut stream {
        print(&piece?)?;
    }
    let timing = stream.timing();
    drop(stream);
    print("\n")?;
    note(&closing(&timing, generator.engine().memory()));
    Ok(())
}

fn from_stdin() -> Result<String> {
    if stdin().is_terminal() {
        note("the beginning of the text, then Ctrl-D at the start of a line:");
    }
    let mut prompt = String::new();
    stdin().read_to_string(&mut prompt).map_err(Error::io("standard input"))?;
    let line_end = if prompt.ends_with("\r\n") { 2 } else { usize::from(prompt.ends_with('\n')) };
    prompt.truncate(prompt.len() - line_end);
    Ok(prompt)
}

/// The line with speeds and memory.
pub fn closing(timing: &Timing, memory: u64) -> String {
    let reused = if timing.reused > 0 { format!(" ({} reused)", timing.reused) } else { String::new() };
    format!(
        "{} prompt tokens{reused}, prefill {:.0} tok/s, first token {:.0} ms, {} tokens, decode {:.1} tok/s, device memory {} MiB",
        timing.prompt,
        timing.prefill(),
        timing.first.as_secs_f64() * 1e3,
        timing.generated,
        timing.decode(),
        memory.div_ceil(1 << 20),
    )
}
