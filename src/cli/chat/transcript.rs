//! Conversations in files: JSON with the model's name and the messages, as other programs have them too.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use bimetal::{Error, Message, Result};
use serde_json::{Value, json};
use tempfile::Builder;

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];

const EXPECTED: &str = "expected {\"messages\": [{\"role\": …, \"content\": …}, …]}, as /save writes it";

/// Writes the messages, whole or not at all. Overwrites only another transcript.
///
/// # Errors
/// [`Error::Request`] for a file that holds something else or is read-only; [`Error::Format`] for what is no file;
/// [`Error::Io`].
pub fn save(file: &str, model: &str, messages: &[Message]) -> Result<()> {
    let path = path(file);
    check_type(&path)?;
    let old = fs::metadata(&path).ok();
    if old.is_some() && parse(&path).is_err() {
        let what = format!("/save {file}: the file is there and holds no conversation; give another name");
        return Err(Error::Request(what));
    }
    if old.as_ref().is_some_and(|old| old.permissions().readonly()) {
        return Err(Error::Request(format!("/save {file}: the file is read-only; give another name")));
    }
    let text = format!("{:#}\n", json!({ "model": model, "messages": messages }));
    replace(&path, old.map(|old| old.permissions()), &text).map_err(Error::io(path))
}

/// Writes a file beside the path and gives it that name. A link stays, and what it leads to is replaced.
fn replace(path: &Path, permissions: Option<fs::Permissions>, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut whole = builder.tempfile_in(directory)?;
    whole.write_all(text.as_bytes())?;
    if let Some(permissions) = permissions {
        whole.as_file().set_permissions(permissions)?;
    }
    whole.as_file().sync_all()?;
    whole.persist(path)?;
    Ok(())
}

/// Reads the messages.
///
/// # Errors
/// [`Error::Format`] for a file without messages, or with a message that lacks something; [`Error::Io`].
pub fn load(file: &str) -> Result<Vec<Message>> {
    let path = path(file);
    let messages = parse(&path)?;
    if messages.is_empty() {
        return Err(Error::Format { file: path, what: format!("it has no messages; {EXPECTED}") });
    }
    Ok(messages)
}

/// Refuses what is no file: to read or write it may never end.
///
/// # Errors
/// [`Error::Format`].
pub fn check_type(path: &Path) -> Result<()> {
    let what = match fs::metadata(path) {
        Ok(found) if found.is_dir() => "a directory; expected a file",
        Ok(found) if !found.is_file() => "not a regular file",
        // Without the file, opening it tells why.
        _ => return Ok(()),
    };
    Err(Error::Format { file: path.into(), what: what.into() })
}

fn parse(path: &Path) -> Result<Vec<Message>> {
    check_type(path)?;
    let broken = |what: String| Error::Format { file: path.into(), what };
    let text = String::from_utf8(fs::read(path).map_err(Error::io(path))?);
    let text = text.map_err(|_| broken("it is not UTF-8; convert it first".into()))?;
    let mut json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| broken(format!("not JSON: {error}; /save writes such a file")))?;
    let list = match &mut json {
        Value::Object(members) => members.get_mut("messages").and_then(Value::as_array_mut),
        list => list.as_array_mut(),
    };
    let list = list.ok_or_else(|| broken(EXPECTED.into()))?;
    let numbered = list.iter_mut().enumerate();
    numbered.map(|(at, json)| message(json).map_err(|what| broken(format!("message {}: {what}", at + 1)))).collect()
}

/// A message. Other programs write tool calls without content.
fn message(json: &mut Value) -> std::result::Result<Message, String> {
    let members = json.as_object_mut().ok_or(EXPECTED)?;
    let calls = members.get("tool_calls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty());
    match members.get("content") {
        Some(Value::String(_)) => {}
        None | Some(Value::Null) if calls => {
            members.remove("content");
        }
        None => return Err(format!("no `content`; {EXPECTED}")),
        Some(_) => return Err("`content` is no text; expected a string".into()),
    }
    match members.get("role").and_then(Value::as_str) {
        Some(role) if ROLES.contains(&role) => {}
        Some(role) => return Err(format!("role {role:?}, expected one of {}", ROLES.join(", "))),
        None => return Err(format!("no `role`; expected one of {}", ROLES.join(", "))),
    }
    serde_json::from_value(json.take()).map_err(|error| error.to_string())
}

/// The path, with the user's directory for `~`.
fn path(file: &str) -> PathBuf {
    match (file.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => file.into(),
    }
}
