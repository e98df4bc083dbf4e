//! The loop of a chat: reads messages and commands, and carries them out.

use bimetal::{Error, Message, Result};

use super::{
    commands::{Command, help},
    lines::{Input, Lines},
    multiline::message,
    session::{Session, nothing_asked},
    settings, transcript,
};
use crate::cli::{figures::counted, output::note};

/// Whether the conversation goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    End,
}

/// Answers one question.
pub fn once(mut session: Session, question: &str) -> Result<()> {
    session.answer(question)?;
    session.close();
    Ok(())
}

/// A message without the first of two slashes at its beginning.
pub fn unescaped(said: &str) -> &str {
    if said.trim_start().starts_with("//") { &said.trim_start()[1..] } else { said }
}

/// Answers questions and carries out commands until the input ends.
pub fn talk(mut session: Session, mut lines: Lines, first: Option<&str>) -> Result<()> {
    let (mut is_empty, mut refused) = (first.is_none(), 0);
    if let Some(question) = first {
        note(&format!("{}{question}", session.screen.notes.bold("> ")));
        match session.told(|session| session.take_first(question))? {
            Some(Next::Line) => {}
            Some(Next::End) => {
                session.close();
                return Ok(());
            }
            None => refused += 1,
        }
    }
    while let Some(input) = lines.next()? {
        let text = match input {
            Input::Text(text) => text,
            Input::Refused(why) => {
                session.screen.complain(&why);
                (is_empty, refused) = (false, refused + 1);
                continue;
            }
        };
        is_empty &= text.trim().is_empty();
        match session.told(|session| session.take(&text))? {
            Some(Next::Line) => {}
            Some(Next::End) => break,
            None => refused += 1,
        }
    }
    session.close();
    if session.screen.is_live {
        return Ok(());
    }
    if is_empty {
        let what = "standard input ended before anything was said: give one message a line, or a terminal";
        return Err(Error::Request(what.into()));
    }
    if refused > 0 {
        let what = format!("{} of standard input refused, as told above", counted(refused, "line"));
        return Err(Error::Request(what));
    }
    Ok(())
}

/// Why a line was not carried out.
enum Failure {
    /// The line is wrong.
    Refused(String),
    /// The work failed.
    Failed(Error),
}

/// What becomes of a line.
type Outcome = std::result::Result<Next, Failure>;

/// Whether the conversation can go on after an error.
fn is_mild(error: &Error) -> bool {
    match error {
        Error::Request(_) | Error::Template(_) | Error::Format { .. } => true,
        Error::Io { path, .. } => path.to_str() != Some("standard output"),
        _ => false,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Session {
    /// Model, context and device, for a user who begins.
    pub fn greet(&self) {
        let model = self.screen.notes.bold(&self.model);
        note(&model);
        self.screen.tell(&self.described());
        self.screen.tell("/help lists the commands");
    }

    /// The context and the device in one line.
    fn described(&self) -> String {
        let caps = self.generator.engine().model().backend.caps();
        format!("context of {}, {} ({})", counted(self.context() as usize, "token"), caps.device, caps.backend)
    }

    /// Speeds of the whole conversation.
    fn close(&self) {
        if !self.total.is_empty() {
            self.screen.tell(&self.total.total());
        }
    }

    /// Tells what is wrong with a line, after which the next ones may be right. Returns `None` for such a line.
    fn told(&mut self, work: impl FnOnce(&mut Self) -> Outcome) -> Result<Option<Next>> {
        let why = match work(self) {
            Ok(next) => return Ok(Some(next)),
            Err(Failure::Refused(why)) => why,
            Err(Failure::Failed(error)) if is_mild(&error) => error.to_string(),
            Err(Failure::Failed(error)) => return Err(error),
        };
        self.screen.complain(&why);
        Ok(None)
    }

    /// Answers a message, or carries out a command.
    fn take(&mut self, text: &str) -> Outcome {
        match Command::parse(text).map_err(Failure::Refused)? {
            Some(Command::Exit) => return Ok(Next::End),
            Some(command) => self.carry_out(command)?,
            None => {
                let said = message(text);
                let said = unescaped(&said);
                if !said.trim().is_empty() {
                    self.answer(said)?;
                }
            }
        }
        Ok(Next::Line)
    }

    /// The same for an argument, which needs no marks to hold several lines.
    fn take_first(&mut self, text: &str) -> Outcome {
        match Command::parse(text).map_err(Failure::Refused)? {
            Some(_) => self.take(text),
            None => Ok(self.answer(unescaped(text)).map(|()| Next::Line)?),
        }
    }

    fn carry_out(&mut self, command: Command<'_>) -> std::result::Result<(), Failure> {
        match command {
            Command::Help => self.screen.tell(&help()),
            Command::Clear => {
                self.clear();
                self.screen.tell("begun anew");
            }
            Command::Exit => {}
            Command::System(None) => {
                self.screen.tell(self.system().unwrap_or("no system message; /system TEXT sets one"))
            }
            Command::System(Some(text)) => self.set_system(text),
            Command::Set(None, _) => self.screen.tell(&settings::all(&self.options, &self.conversation)),
            Command::Set(Some(name), None) => {
                let all = settings::all(&self.options, &self.conversation);
                let line = all.lines().find(|line| line.split(' ').next() == Some(name));
                self.screen.tell(line.ok_or_else(|| Failure::Refused(format!("no setting {name}; /set lists them")))?);
            }
            Command::Set(Some(name), Some(value)) => {
                settings::set(&mut self.options, &mut self.conversation, name, value).map_err(Failure::Refused)?;
                if name.trim_start_matches('-') == "stop" {
                    self.screen.tell(&settings::stops(&self.options));
                }
            }
            Command::Show => self.show()?,
            Command::Save(file) => {
                transcript::save(file, &self.model, &self.conversation.messages)?;
                self.screen.tell(&format!("{file}: {}", counted(self.conversation.messages.len(), "message")));
            }
            Command::Load(file) => self.load(file)?,
            Command::Retry => self.retry()?,
            Command::Undo => {
                let question = self.undo().ok_or_else(nothing_asked)?;
                self.screen.tell(&format!("taken back: {question}"));
            }
            Command::Stats => {
                self.shows_figures = !self.shows_figures;
                match self.shows_figures {
                    true if self.last.is_some() => self.tell_figures(),
                    true => self.screen.tell("figures follow each answer"),
                    false => self.screen.tell("no figures any more"),
                }
            }
        }
        Ok(())
    }

    fn load(&mut self, file: &str) -> Result<()> {
        let messages = transcript::load(file)?;
        self.clear();
        self.screen.tell(&format!("{file}: {}", counted(messages.len(), "message")));
        self.conversation.messages = messages;
        Ok(())
    }

    fn show(&self) -> Result<()> {
        let template = self.generator.text.template()?;
        let messages: &[Message] = &self.conversation.messages;
        let used = match messages {
            [] => 0,
            messages => {
                let options = bimetal::low_level::text::chat_template::Options {
                    generation_prompt: false,
                    ..self.conversation.options.clone()
                };
                self.generator.text.tokenizer.encode(&template.render(messages, &options)?)?.len()
            }
        };
        let system = self.system().unwrap_or("none");
        self.screen.tell(&format!(
            "model    {}\n         {}, device memory {} MiB\nsystem   {system}\nused     {} in {}",
            self.model,
            self.described(),
            self.generator.engine().memory().div_ceil(1 << 20),
            counted(used, "token"),
            counted(messages.len(), "message"),
        ));
        Ok(())
    }
}
