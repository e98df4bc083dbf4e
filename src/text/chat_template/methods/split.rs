//! Methods of a text that divide it.

use minijinja::{Error, Value, value::Tuple};

use super::{super::arguments::fault, Call, is_space};

pub(super) const NAMES: &[&str] = &["split", "rsplit", "partition", "rpartition", "splitlines"];

pub(super) fn call(call: &Call) -> Option<Result<Value, Error>> {
    Some(match call.method {
        "split" | "rsplit" => split(call),
        "partition" | "rpartition" => partition(call),
        "splitlines" => call
            .bind("splitlines", &["keepends"])
            .map(|arguments| lines(call.text, arguments.flag_or(0, false)).into_iter().map(Value::from).collect()),
        _ => return None,
    })
}

fn split(call: &Call) -> Result<Value, Error> {
    let arguments = call.bind("split", &["sep", "maxsplit"])?;
    let most = usize::try_from(arguments.integer_or(1, -1)?).unwrap_or(usize::MAX);
    let backwards = call.method == "rsplit";
    let parts: Vec<&str> = match arguments.some(0).map(|_| arguments.text(0)).transpose()? {
        Some("") => return Err(fault("split: the separator is empty")),
        Some(separator) if backwards => {
            let mut parts: Vec<_> = call.text.rsplitn(most.saturating_add(1), separator).collect();
            parts.reverse();
            parts
        }
        Some(separator) => call.text.splitn(most.saturating_add(1), separator).collect(),
        None if backwards => words_backwards(call.text, most),
        None => words(call.text, most),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The words of a text; after `most` of them, the rest is one.
pub(in super::super) fn words(text: &str, most: usize) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start_matches(is_space));
    while !rest.is_empty() {
        let end = if words.len() == most { None } else { rest.find(is_space) };
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = after.trim_start_matches(is_space);
    }
    words
}

fn words_backwards(text: &str, most: usize) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text.trim_end_matches(is_space));
    while !rest.is_empty() {
        let found = if words.len() == most { None } else { rest.char_indices().rfind(|(_, c)| is_space(*c)) };
        let begin = found.map_or(0, |(at, space)| at + space.len_utf8());
        words.push(&rest[begin..]);
        rest = rest[..begin].trim_end_matches(is_space);
    }
    words.reverse();
    words
}

fn partition(call: &Call) -> Result<Value, Error> {
    let arguments = call.bind("partition", &["sep"])?;
    let (text, separator) = (call.text, arguments.text(0)?);
    let parts = match call.method {
        _ if separator.is_empty() => return Err(fault("partition: the separator is empty")),
        "partition" => text.split_once(separator).map_or([text, "", ""], |(a, b)| [a, separator, b]),
        _ => text.rsplit_once(separator).map_or(["", "", text], |(a, b)| [a, separator, b]),
    };
    Ok(Tuple::from(parts.map(Value::from)).into())
}

/// Lines, with their ends if `keep`. Python knows more line ends than Rust.
fn lines(text: &str, keep: bool) -> Vec<&str> {
    let is_end =
        |character| matches!(character, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let (mut lines, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.find(is_end).unwrap_or(rest.len());
        let after = rest[end..].chars().next().map_or(0, char::len_utf8);
        let after = if rest[end..].starts_with("\r\n") { 2 } else { after };
        lines.push(&rest[..if keep { end + after } else { end }]);
        rest = &rest[end + after..];
    }
    lines
}
