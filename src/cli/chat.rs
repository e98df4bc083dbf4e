//! `chat`: a conversation in the terminal.

use std::{
    io::{BufRead, IsTerminal, Write, stderr, stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bimetal::{
    Error, Result,
    chat::Options,
    conversation::Conversation,
    generator::{Generator, Settings},
    sampler::{Mode, Sampling},
};
use clap::Args;

use super::{
    generate::{closing, print},
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    sampling::SamplingArguments,
};

/// Flags of `chat`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    engine: EngineArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Let the model think before it answers; the template decides if neither this nor --no-think is given
    #[arg(long, overrides_with = "no_think")]
    think: bool,
    /// Have the model answer at once
    #[arg(long)]
    no_think: bool,
}

impl Arguments {
    fn thinking(&self) -> Option<bool> {
        (self.think || self.no_think).then_some(self.think)
    }
}

/// Talks until the input ends.
pub fn run(arguments: &Arguments) -> Result<()> {
    let checkpoint = arguments.model.open()?;
    let backend = arguments.device.open()?;
    let mut generator = load(&backend, &checkpoint, arguments.engine.setup(1, 1))?;
    let mut settings = arguments.sampling.settings(generator.settings());
    if arguments.think && checkpoint.side_file("generation_config.json")?.is_none() {
        let advised = Settings { sampling: Sampling::model_card(Mode::Thinking), ..generator.settings() };
        settings = arguments.sampling.settings(advised);
    }
    drop(checkpoint);
    let options = Options { generation_prompt: true, thinking: arguments.thinking(), ..Options::default() };
    let mut conversation = Conversation::new(arguments.system.clone(), options);
    let interrupted = watch()?;
    eprintln!("/clear begins anew, /exit or the end of input leaves, Ctrl-C stops an answer");
    while let Some(line) = ask()? {
        match line.trim() {
            "" => continue,
            "/exit" => break,
            "/clear" => conversation.clear(&mut generator),
            said => {
                interrupted.store(false, Ordering::Relaxed);
                answer(&mut generator, &mut conversation, (said, &settings), &interrupted)?;
            }
        }
    }
    Ok(())
}

/// A flag that Ctrl-C raises; twice in a row ends the program.
fn watch() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Request(format!("Ctrl-C cannot be watched: {error}")))?;
    Ok(flag)
}

/// The next line of input; None at its end.
fn ask() -> Result<Option<String>> {
    if stdin().is_terminal() {
        eprint!("> ");
        stderr().flush().map_err(Error::io("standard error"))?;
    }
    let mut line = String::new();
    let read = stdin().lock().read_line(&mut line).map_err(Error::io("standard input"))?;
    Ok((read > 0).then_some(line))
}

/// Streams one answer. A request that cannot be served is said, and the conversation goes on.
fn answer(
    generator: &mut Generator,
    conversation: &mut Conversation,
    (said, settings): (&str, &Settings),
    interrupted: &AtomicBool,
) -> Result<()> {
    let mut stream = match conversation.say(generator, said, settings) {
        Ok(stream) => stream,
        Err(error @ (Error::Request(_) | Error::Template(_))) => {
            eprintln!("error: {error}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let (mut out, mut text) = (stdout().lock(), String::new());
    while let Some(piece) = stream.next() {
        let piece = piece?;
        print(&mut out, &piece)?;
        text += &piece;
        if interrupted.load(Ordering::Relaxed) {
            stream.interrupt();
        }
    }
    writeln!(out).map_err(Error::io("standard output"))?;
    let figures = stream.figures();
    drop(stream);
    conversation.heard(&text);
    eprintln!("{}", closing(&figures, generator.engine.memory()));
    Ok(())
}
