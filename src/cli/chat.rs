//! `chat`: a conversation on the terminal.

mod commands;
mod lines;
mod multiline;
mod run;
mod screen;
mod session;
mod settings;
mod thinking;
mod transcript;

use std::{
    io::{IsTerminal, Read, stdin, stdout},
    sync::Arc,
};

use bimetal::{
    Conversation, Error, GenerationOptions, Message, Result, Sampling,
    low_level::{
        engine::sampler::Mode,
        generate::Advice,
        text::chat_template::{Options, Template},
    },
};
use clap::Args;

use super::{
    interrupt::{restore_at_end, watch},
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    output::{OutputArguments, complain},
    sampling::SamplingArguments,
    speeds::Speeds,
    terminal::is_dumb,
    warm_up::warm_up,
};
use commands::Command;
use lines::Lines;
use screen::Screen;
use session::{Session, WhenFull};

/// Maximum number of bytes of standard input after a question.
const LONGEST_INPUT: u64 = 16 << 20;

/// Flags of `chat`.
#[derive(Args)]
pub struct Arguments {
    /// The first question, or a command. Without a terminal, its answer ends the conversation, and what is piped
    /// follows the question after an empty line
    question: Option<String>,
    /// The same as QUESTION
    #[arg(short = 'p', long = "prompt", value_name = "QUESTION", conflicts_with = "question", hide = true)]
    question_flag: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    /// System message: instructions to the model before the conversation
    #[arg(long, value_name = "TEXT", help_heading = "Conversation")]
    system: Option<String>,
    /// Let the model think before it answers; without this and --no-think, the template decides
    #[arg(long, overrides_with = "no_think", help_heading = "Conversation")]
    think: bool,
    /// Let the model answer at once
    #[arg(long, help_heading = "Conversation")]
    no_think: bool,
    /// What happens when the context is full
    #[arg(long, value_name = "WHAT", default_value = "drop", help_heading = "Conversation")]
    context_full: WhenFull,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    output: OutputArguments,
    /// Leave the model's thinking out
    #[arg(long, help_heading = "Output")]
    hide_thinking: bool,
    /// Tell counts and speeds after each answer
    #[arg(long, help_heading = "Output")]
    stats: bool,
    /// Do not remember messages for the arrow keys of the next conversation
    #[arg(long, help_heading = "Output")]
    no_history: bool,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    engine: EngineArguments,
}

/// Runs the conversation until the input ends.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.output.apply();
    let question = arguments.question.as_ref().or(arguments.question_flag.as_ref());
    if question.is_some_and(|question| question.trim().is_empty()) {
        return Err(Error::Request("the question is empty; ask something, or leave it out for a conversation".into()));
    }
    let is_typed = stdin().is_terminal();
    if is_typed {
        // Threads that begin later leave these signals to the one that restores the terminal.
        restore_at_end()?;
    }
    let is_message = |question: &&String| matches!(Command::parse(question), Ok(None));
    if let Some(question) = question.filter(is_message).filter(|_| !is_typed || !stdout().is_terminal()) {
        let question = run::unescaped(question).to_owned() + &if is_typed { String::new() } else { piped()? };
        return run::once(arguments.open(is_typed)?, &question);
    }
    let session = arguments.open(is_typed)?;
    let lines = match is_typed {
        true => Lines::terminal(session.screen.notes, !arguments.no_history)?,
        false => Lines::Plain { lines: 0, prompts: false },
    };
    if is_typed {
        watch(&session.interrupted, "")?;
        session.greet();
    }
    run::talk(session, lines, question.map(String::as_str))
}

/// What standard input adds to a question: an empty line and its text, or nothing.
fn piped() -> Result<String> {
    let mut bytes = Vec::new();
    stdin().lock().take(LONGEST_INPUT + 1).read_to_end(&mut bytes).map_err(Error::io("standard input"))?;
    if bytes.len() as u64 > LONGEST_INPUT {
        let what = format!("standard input is longer than {} MiB; no context holds that", LONGEST_INPUT >> 20);
        return Err(Error::Request(what));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Error::Request("standard input is not UTF-8; convert it first".into()))?;
    let text = text.trim_start_matches('\u{feff}').trim_end();
    Ok(if text.is_empty() { String::new() } else { format!("\n\n{text}") })
}

/// Whether a template does something else if the model is to think. One that refuses an example may.
fn knows_thinking(template: &Template) -> bool {
    let example = [Message::new("user", "a")];
    let prompt = |thinks| {
        let options = Options { generation_prompt: true, thinking: Some(thinks), ..Options::default() };
        template.render(&example, &options)
    };
    match (prompt(true), prompt(false)) {
        (Ok(thinking), Ok(direct)) => thinking != direct,
        _ => true,
    }
}

impl Arguments {
    fn thinking(&self) -> Option<bool> {
        (self.think || self.no_think).then_some(self.think)
    }

    fn open(&self, is_live: bool) -> Result<Session> {
        let checkpoint = self.model.open()?;
        let backend = self.device.open()?;
        let mut generator = load(&backend, &checkpoint, self.engine.options(1, 1))?;
        let template = Options { generation_prompt: true, thinking: self.thinking(), ..Options::default() };
        let thinks = knows_thinking(generator.text.template()?);
        if self.think && !thinks {
            complain("warning: the model's template has no thinking, so that --think changes nothing");
        }
        let mut options = self.sampling.options(generator.generation_options());
        if self.think && thinks && generator.text.advice == Advice::ModelCard {
            let sampling = Sampling::model_card(Mode::Thinking);
            options = self.sampling.options(GenerationOptions { sampling, ..generator.generation_options() });
        }
        warm_up(&mut generator, &options);
        let dumb = self.output.color.paint(false);
        let screen = Screen {
            paint: if is_dumb() { dumb } else { self.output.paint() },
            notes: if is_dumb() { dumb } else { self.output.paint_notes() },
            is_live,
            hides_thinking: self.hide_thinking,
        };
        Ok(Session {
            generator,
            conversation: Conversation::new(self.system.clone(), template),
            options,
            model: self.model.name().into(),
            when_full: self.context_full,
            shows_figures: self.stats,
            interrupted: Arc::default(),
            screen,
            last: None,
            total: Speeds::default(),
        })
    }
}
