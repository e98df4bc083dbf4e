//! Conversations in files: JSON with the model's name and the messages, as other programs have them too.

use std::{fs, path::PathBuf};

use bimetal::{Error, Message, Result};
use serde::Deserialize;
use serde_json::{Value, json};

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];

/// A file of messages: an object that holds them, or only their list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Transcript {
    Object { messages: Vec<Message> },
    List(Vec<Message>),
}

/// Writes the messages. Overwrites only another transcript.
///
/// # Errors
/// [`Error::Request`] for a file that holds something else; [`Error::Io`].
pub fn save(file: &str, model: &str, messages: &[Message]) -> Result<()> {
    let path = path(file);
    if path.exists() && parse(&path).is_err() {
        let what = format!("/save {file}: the file is there and holds no conversation; give another name");
        return Err(Error::Request(what));
    }
    let text = format!("{:#}\n", json!({ "model": model, "messages": messages }));
    fs::write(&path, text).map_err(Error::io(path))
}

/// Reads the messages.
///
/// # Errors
/// [`Error::Format`] for a file without messages or with an unknown role; [`Error::Io`].
pub fn load(file: &str) -> Result<Vec<Message>> {
    parse(&path(file))
}

fn parse(path: &PathBuf) -> Result<Vec<Message>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let broken = |what: String| Error::Format { file: path.clone(), what };
    let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| broken(format!("not JSON: {error}; /save writes such a file")))?;
    let expected = "expected {\"messages\": [{\"role\": …, \"content\": …}, …]}, as /save writes it";
    let transcript = serde_json::from_value(json).map_err(|_| broken(expected.into()))?;
    let (Transcript::Object { messages } | Transcript::List(messages)) = transcript;
    match messages.iter().find(|message| !ROLES.contains(&message.role.as_str())) {
        Some(message) => Err(broken(format!("role {:?}, expected one of {}", message.role, ROLES.join(", ")))),
        None => Ok(messages),
    }
}

/// The path, with the user's directory for `~`.
fn path(file: &str) -> PathBuf {
    match (file.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => file.into(),
    }
}
