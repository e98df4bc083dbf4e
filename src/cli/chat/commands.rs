//! The commands of a chat: lines that begin with a slash.

/// A command, with what follows its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// Shows the commands.
    Help,
    /// Begins anew.
    Clear,
    /// Leaves.
    Exit,
    /// Sets or shows the system message.
    System(Option<&'a str>),
    /// Changes a setting, or shows one, or all.
    Set(Option<&'a str>, Option<&'a str>),
    /// Shows model, device, context and settings.
    Show,
    /// Writes the conversation to a file.
    Save(&'a str),
    /// Continues the conversation of a file.
    Load(&'a str),
    /// Asks the last question again.
    Retry,
    /// Takes the last question and its answer back.
    Undo,
    /// Shows figures after each answer, or no longer.
    Stats,
}

/// What a command takes after its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    File,
    /// Anything, or nothing.
    Text,
}

/// A command's names, what it takes, and its line of help.
struct Entry {
    names: &'static [&'static str],
    takes: Takes,
    make: for<'a> fn(&'a str) -> Command<'a>,
    help: [&'static str; 2],
}

const fn entry(
    names: &'static [&'static str],
    takes: Takes,
    make: for<'a> fn(&'a str) -> Command<'a>,
    help: [&'static str; 2],
) -> Entry {
    Entry { names, takes, make, help }
}

const COMMANDS: [Entry; 11] = [
    entry(&["/help", "/?"], Takes::Nothing, |_| Command::Help, ["/help", "show this"]),
    entry(&["/clear"], Takes::Nothing, |_| Command::Clear, ["/clear", "begin anew; the system message stays"]),
    entry(&["/exit", "/quit", "/bye"], Takes::Nothing, |_| Command::Exit, ["/exit", "leave, as Ctrl-D does"]),
    entry(
        &["/system"],
        Takes::Text,
        |text| Command::System(some(text)),
        ["/system TEXT", "set the system message; \"\" removes it"],
    ),
    entry(
        &["/set"],
        Takes::Text,
        |text| match text.split_once(|character: char| character == '=' || character.is_whitespace()) {
            Some((name, value)) => Command::Set(Some(name), some(assigned(value.trim()))),
            None => Command::Set(some(text), None),
        },
        ["/set NAME VALUE", "change a setting; alone, show all"],
    ),
    entry(&["/show"], Takes::Nothing, |_| Command::Show, ["/show", "show model, device and context"]),
    entry(&["/save"], Takes::File, |file| Command::Save(file), ["/save FILE", "write the conversation as JSON"]),
    entry(&["/load"], Takes::File, |file| Command::Load(file), ["/load FILE", "go on with a saved conversation"]),
    entry(&["/retry"], Takes::Nothing, |_| Command::Retry, ["/retry", "ask the last question again"]),
    entry(&["/undo"], Takes::Nothing, |_| Command::Undo, ["/undo", "take the last question back"]),
    entry(&["/stats"], Takes::Nothing, |_| Command::Stats, ["/stats", "show figures, or no longer"]),
];

const KEYS: [[&str; 2]; 4] = [
    ["//…", "a message that begins with a slash"],
    ["\"\"\"…\"\"\"", "a message of several lines"],
    ["\\", "at the end of a line: one more line"],
    ["Ctrl-C", "stop the answer, or leave"],
];

/// A value, also after an equals sign that stands alone.
fn assigned(value: &str) -> &str {
    value.strip_prefix('=').filter(|rest| rest.starts_with(char::is_whitespace)).map_or(value, str::trim)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl<'a> Command<'a> {
    /// The command of a line that begins with one slash; `None` for a message.
    ///
    /// # Errors
    /// What is wrong with the command, and what to do.
    pub fn parse(line: &'a str) -> Result<Option<Self>, String> {
        let line = line.trim();
        if !line.starts_with('/') || line.starts_with("//") {
            return Ok(None);
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let Some(entry) = COMMANDS.iter().find(|entry| entry.names.contains(&name)) else {
            return Err(format!("no command {name}; /help lists them, and // begins a message with a slash"));
        };
        match entry.takes {
            Takes::Nothing if !rest.is_empty() => Err(format!("{name} takes nothing after it, found {rest:?}")),
            Takes::File if rest.is_empty() => Err(format!("{name} needs a file: {name} FILE")),
            _ => Ok(Some((entry.make)(rest))),
        }
    }
}

/// All commands and keys, a line each.
pub fn help() -> String {
    let lines = COMMANDS.iter().map(|entry| entry.help).chain(KEYS);
    lines.map(|[what, meaning]| format!("{what:<16} {meaning}")).collect::<Vec<_>>().join("\n")
}

/// The names of commands that begin like this, for completion.
pub fn completions(begin: &str) -> Vec<&'static str> {
    COMMANDS.iter().map(|entry| entry.names[0]).filter(|name| name.starts_with(begin)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_messages() {
        let parse = |line| Command::parse(line).expect("a command or a message");
        assert_eq!((parse("hello"), parse("//etc"), parse("")), (None, None, None));
        assert_eq!(parse(" /clear "), Some(Command::Clear));
        assert_eq!(parse("/system Be kind.  Or not."), Some(Command::System(Some("Be kind.  Or not."))));
        assert_eq!(parse("/set"), Some(Command::Set(None, None)));
        assert_eq!(parse("/set top-k  5"), Some(Command::Set(Some("top-k"), Some("5"))));
        for line in ["/set seed=5", "/set seed = 5", "/set seed= 5"] {
            assert_eq!(parse(line), Some(Command::Set(Some("seed"), Some("5"))), "{line}");
        }
        assert_eq!(parse("/set stop ="), Some(Command::Set(Some("stop"), Some("="))));
        assert_eq!(parse("/save a b.json"), Some(Command::Save("a b.json")));
    }

    #[test]
    fn what_is_no_command_is_told() {
        let refused = |line| Command::parse(line).expect_err("no command");
        assert!(refused("/foo bar").starts_with("no command /foo; /help lists them"));
        assert_eq!(refused("/clear now"), "/clear takes nothing after it, found \"now\"");
        assert_eq!(refused("/load"), "/load needs a file: /load FILE");
    }

    #[test]
    fn help_fits_a_narrow_terminal() {
        assert!(help().lines().all(|line| line.chars().count() <= 56), "{}", help());
        assert_eq!(completions("/s"), ["/system", "/set", "/show", "/save", "/stats"]);
    }
}
