//! `generate`: continue a text, streaming.

use std::io::{Read, Write, stdin, stdout};

use bimetal::{Error, Result, generator::Figures};
use clap::Args;

use super::{
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    sampling::SamplingArguments,
};

/// Flags of `generate`.
#[derive(Args)]
pub struct Arguments {
    /// The beginning of the text; read from standard input if absent or `-`
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

/// Continues a text on standard output; the figures go to standard error.
pub fn run(arguments: &Arguments) -> Result<()> {
    let prompt = match arguments.prompt.as_deref() {
        None | Some("-") => from_stdin()?,
        Some(prompt) => prompt.to_string(),
    };
    let checkpoint = arguments.model.open()?;
    let backend = arguments.device.open()?;
    let mut generator = load(&backend, &checkpoint, arguments.engine.setup(1, 0))?;
    drop(checkpoint);
    let settings = arguments.sampling.settings(generator.settings());
    let mut out = stdout().lock();
    out.write_all(prompt.as_bytes()).map_err(Error::io("standard output"))?;
    let mut stream = generator.stream(&prompt, &settings)?;
    for piece in &mut stream {
        print(&mut out, &piece?)?;
    }
    let figures = stream.figures();
    drop(stream);
    writeln!(out).map_err(Error::io("standard output"))?;
    eprintln!("{}", closing(&figures, generator.engine.memory()));
    Ok(())
}

fn from_stdin() -> Result<String> {
    let mut prompt = String::new();
    stdin().read_to_string(&mut prompt).map_err(Error::io("standard input"))?;
    Ok(prompt)
}

/// Writes a piece at once.
pub fn print(out: &mut impl Write, piece: &str) -> Result<()> {
    out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("standard output"))
}

/// One line of figures.
pub fn closing(figures: &Figures, memory: u64) -> String {
    let reused = if figures.reused > 0 { format!(" ({} reused)", figures.reused) } else { String::new() };
    format!(
        "{} prompt tokens{reused}, prefill {:.0} tok/s, first token {:.0} ms, {} tokens, decode {:.1} tok/s, device memory {} MiB",
        figures.prompt,
        figures.prefill(),
        figures.first.as_secs_f64() * 1e3,
        figures.generated,
        figures.decode(),
        memory.div_ceil(1 << 20),
    )
}
