//! `chat`: a conversation on the terminal.

mod lines;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bimetal::{
    Backend, Conversation, Error, GenerationOptions, Generator, Result, Sampling,
    low_level::{engine::sampler::Mode, generate::Advice, text::chat_template::Options},
};
use clap::Args;

use super::{
    generate::closing,
    interrupt::watch,
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    output::{note, print},
    sampling::SamplingArguments,
};
use lines::Lines;

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
    /// System message: instructions to the model before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Let the model think before it answers; without this and --no-think, the template decides
    #[arg(long, overrides_with = "no_think")]
    think: bool,
    /// Let the model answer at once
    #[arg(long)]
    no_think: bool,
}

impl Arguments {
    fn thinking(&self) -> Option<bool> {
        (self.think || self.no_think).then_some(self.think)
    }
}

/// The commands of a chat.
const HELP: &str = "\
/help   shows this
/clear  begins anew
/exit   leaves, as do Ctrl-D and, on an empty line, Ctrl-C
Ctrl-C  stops an answer; what was said of it stays";

/// Runs the conversation until the input ends.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.sampling.check()?;
    let mut chat = Chat::open(arguments)?;
    let mut lines = Lines::open()?;
    if lines.is_terminal() {
        watch(&chat.interrupted)?;
        note("/help lists the commands");
    }
    let mut empty = true;
    while let Some(line) = lines.next()? {
        empty &= line.trim().is_empty();
        match line.trim() {
            "" => {}
            "/exit" => break,
            "/help" => note(HELP),
            "/clear" => chat.conversation.clear(&mut chat.generator),
            said => match chat.answer(said) {
                Err(error @ (Error::Request(_) | Error::Template(_))) if lines.is_terminal() => {
                    note(&format!("error: {error}"));
                }
                outcome => outcome?,
            },
        }
    }
    if empty && !lines.is_terminal() {
        let what = "standard input ended before anything was said: give one message a line, or a terminal";
        return Err(Error::Request(what.into()));
    }
    Ok(())
}

/// A conversation and its generator.
struct Chat {
    generator: Generator,
    conversation: Conversation,
    options: GenerationOptions,
    interrupted: Arc<AtomicBool>,
}

impl Chat {
    fn open(arguments: &Arguments) -> Result<Self> {
        let checkpoint = arguments.model.open()?;
        let backend: Arc<dyn Backend> = arguments.device.open()?;
        let generator = load(&backend, &checkpoint, arguments.engine.options(1, 1))?;
        generator.text.template()?;
        let mut options = arguments.sampling.options(generator.generation_options(), generator.text.advice);
        if arguments.think && generator.text.advice == Advice::ModelCard {
            let sampling = Sampling::model_card(Mode::Thinking);
            let card = GenerationOptions { sampling, ..generator.generation_options() };
            options = arguments.sampling.options(card, Advice::ModelCard);
        }
        let template = Options { generation_prompt: true, thinking: arguments.thinking(), ..Options::default() };
        let conversation = Conversation::new(arguments.system.clone(), template);
        Ok(Self { generator, conversation, options, interrupted: Arc::default() })
    }

    /// Streams one answer. A failed request leaves the conversation unchanged.
    fn answer(&mut self, said: &str) -> Result<()> {
        self.interrupted.store(false, Ordering::Relaxed);
        let mut stream = self.conversation.say(&mut self.generator, said, &self.options)?;
        let mut text = String::new();
        while let Some(piece) = stream.advance() {
            let piece = piece?;
            print(&piece)?;
            text += &piece;
            if self.interrupted.load(Ordering::Relaxed) {
                stream.interrupt();
            }
        }
        print("\n")?;
        let timing = stream.timing();
        drop(stream);
        self.conversation.heard(&text);
        note(&closing(&timing, self.generator.engine().memory()));
        Ok(())
    }
}
