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
    io::{IsTerminal, stdin, stdout},
    sync::Arc,
};

use bimetal::{
    Conversation, GenerationOptions, Message, Result, Sampling,
    low_level::{
        engine::sampler::Mode,
        generate::Advice,
        text::chat_template::{Options, Template},
    },
};
use clap::Args;

use super::{
    interrupt::watch,
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    output::{OutputArguments, complain},
    sampling::SamplingArguments,
    speeds::Speeds,
    warm_up::warm_up,
};
use lines::Lines;
use screen::Screen;
use session::{Session, WhenFull};

/// Flags of `chat`.
#[derive(Args)]
pub struct Arguments {
    /// The first question. Without a terminal, its answer ends the conversation
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
    let is_typed = stdin().is_terminal();
    let session = arguments.open(is_typed)?;
    if let Some(question) = question.filter(|_| !is_typed || !stdout().is_terminal()) {
        return run::once(session, question);
    }
    let lines = match is_typed {
        true => Lines::terminal(session.screen.notes, !arguments.no_history)?,
        false => Lines::Plain(0),
    };
    if is_typed {
        watch(&session.interrupted, "")?;
        session.greet();
    }
    run::talk(session, lines, question.map(String::as_str))
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
        let screen = Screen {
            paint: self.output.paint(),
            notes: self.output.paint_notes(),
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
