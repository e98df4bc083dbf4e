//! Methods of a text that look for another text. Places count characters.

use minijinja::{Error, Value, value::ValueKind};

use super::{
    super::arguments::{Arguments, fault},
    Call,
};

pub(super) const NAMES: &[&str] = &["find", "rfind", "index", "rindex", "count", "startswith", "endswith"];

const PARAMETERS: &[&str] = &["sub", "start", "end"];

pub(super) fn call(call: &Call) -> Option<Result<Value, Error>> {
    if !NAMES.contains(&call.method) {
        return None;
    }
    Some(call.bind("the method", PARAMETERS).and_then(|arguments| search(call, &arguments)))
}

fn search(call: &Call, arguments: &Arguments) -> Result<Value, Error> {
    let window = window(call.text, arguments)?;
    let (skipped, part) = window.unwrap_or((0, ""));
    if matches!(call.method, "startswith" | "endswith") {
        let found = any(arguments, |text| match call.method {
            "startswith" => part.starts_with(text),
            _ => part.ends_with(text),
        })?;
        return Ok((found && window.is_some()).into());
    }
    let wanted = arguments.text(0)?;
    let place = match call.method {
        "count" => {
            let count = if wanted.is_empty() { part.chars().count() + 1 } else { part.matches(wanted).count() };
            return Ok(if window.is_some() { count } else { 0 }.into());
        }
        "find" | "index" => part.find(wanted),
        _ => part.rfind(wanted),
    };
    match place.filter(|_| window.is_some()) {
        Some(at) => Ok((skipped + part[..at].chars().count()).into()),
        None if call.method.ends_with("find") => Ok((-1).into()),
        None => Err(fault(format!("{}: {wanted:?} is not in the string", call.method))),
    }
}

/// Whether it holds for the text, or for one text of a tuple.
fn any(arguments: &Arguments, holds: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let given = arguments.required(0)?;
    let wrong = || arguments.wrong(0, "a string or a tuple of strings");
    if !given.is_tuple() {
        return given.as_str().map(holds).ok_or_else(wrong);
    }
    for text in given.try_iter()? {
        if text.as_str().map(&holds).ok_or_else(wrong)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The part of the text between `start` and `end`, and the characters before it. `None` if it starts after the end.
fn window<'a>(text: &'a str, arguments: &Arguments) -> Result<Option<(usize, &'a str)>, Error> {
    let given = |at: usize| arguments.get(at).is_some_and(|value| value.kind() != ValueKind::None);
    if !given(1) && !given(2) {
        return Ok(Some((0, text)));
    }
    let length = text.chars().count() as i64;
    let place = |at: usize, default: i64| -> Result<i64, Error> {
        let place = if given(at) { arguments.integer_or(at, default)? } else { default };
        Ok(if place < 0 { (place + length).max(0) } else { place })
    };
    let (start, end) = (place(1, 0)?, place(2, length)?.min(length));
    if start > end {
        return Ok(None);
    }
    let byte = |place: i64| text.char_indices().nth(place as usize).map_or(text.len(), |(at, _)| at);
    Ok(Some((start as usize, &text[byte(start)..byte(end)])))
}
