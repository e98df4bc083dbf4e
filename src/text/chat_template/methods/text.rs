//! Methods of a text that give a changed text.

use std::collections::HashMap;

use minijinja::{Error, State, Value, value::ValueKind};

use super::{
    super::{
        arguments::{Arguments, fault},
        format,
    },
    Call, pay,
};

pub(super) const NAMES: &[&str] = &[
    "center",
    "ljust",
    "rjust",
    "zfill",
    "strip",
    "lstrip",
    "rstrip",
    "replace",
    "removeprefix",
    "removesuffix",
    "join",
    "expandtabs",
    "translate",
    "maketrans",
    "encode",
    "format",
    "format_map",
];

pub(super) fn call(call: &Call) -> Option<Result<Value, Error>> {
    let text = call.text;
    Some(match call.method {
        "center" => padded(call, |text, [left, fill, _]| format!("{}{text}{}", left.0, fill.0)),
        "ljust" => padded(call, |text, [_, _, all]| format!("{text}{}", all.0)),
        "rjust" => padded(call, |text, [_, _, all]| format!("{}{text}", all.0)),
        "zfill" => zfill(call),
        "strip" | "lstrip" | "rstrip" => stripped(call),
        "replace" => replaced(call),
        "removeprefix" => call.bind("removeprefix", &["prefix"]).and_then(|arguments| {
            let prefix = arguments.text(0)?;
            Ok(text.strip_prefix(prefix).unwrap_or(text).into())
        }),
        "removesuffix" => call.bind("removesuffix", &["suffix"]).and_then(|arguments| {
            let suffix = arguments.text(0)?;
            Ok(text.strip_suffix(suffix).unwrap_or(text).into())
        }),
        "join" => call.bind("join", &["iterable"]).and_then(|arguments| joined(call.state, text, &arguments)),
        "expandtabs" => call.bind("expandtabs", &["tabsize"]).and_then(|arguments| expanded(call, &arguments)),
        "translate" => {
            call.bind("translate", &["table"]).and_then(|arguments| translated(call.state, text, &arguments))
        }
        "maketrans" => call.bind("maketrans", &["x", "y", "z"]).and_then(|arguments| table(&arguments)),
        "encode" => call.bind("encode", &["encoding", "errors"]).and_then(|arguments| {
            match arguments.text_or(0, "utf-8")?.to_lowercase().replace('_', "-").as_str() {
                "utf-8" | "utf8" => Ok(Value::from_bytes(text.as_bytes().to_vec())),
                other => Err(fault(format!("encode: the encoding {other:?} is not supported, only utf-8"))),
            }
        }),
        "format" => format::braces(call.state, text, call.given).map(Value::from),
        "format_map" => call
            .bind("format_map", &["mapping"])
            .and_then(|arguments| format::braces_of_map(call.state, text, arguments.required(0)?).map(Value::from)),
        _ => return None,
    })
}

/// Fill characters.
struct Fill(String);

impl Fill {
    fn new(fill: char, count: usize) -> Fill {
        Fill(std::iter::repeat_n(fill, count).collect())
    }
}

/// A text in a field: the fill before and after a centered one, and the whole fill.
fn padded(call: &Call, lay_out: impl Fn(&str, [Fill; 3]) -> String) -> Result<Value, Error> {
    let arguments = call.bind("the method", &["width", "fillchar"])?;
    let width = arguments.required(0).and_then(|_| arguments.integer_or(0, 0))?;
    let mut fill = arguments.text_or(1, " ")?.chars();
    let (Some(fill), None) = (fill.next(), fill.next()) else { return Err(arguments.wrong(1, "one character")) };
    let (missing, width) = missing(call.state, call.text, width)?;
    let left = missing / 2 + (missing & width & 1);
    let fills = [left, missing - left, missing].map(|count| Fill::new(fill, count));
    Ok(lay_out(call.text, fills).into())
}

/// How many characters a text lacks in a field, and the field's width.
fn missing(state: &State, text: &str, width: i64) -> Result<(usize, usize), Error> {
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    pay(state, missing.saturating_mul(4))?;
    Ok((missing, width))
}

/// A centered text, as the filter `center` pads it with spaces.
pub(in super::super) fn center(state: &State, text: &str, width: i64) -> Result<String, Error> {
    let (missing, width) = missing(state, text, width)?;
    let left = missing / 2 + (missing & width & 1);
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left)))
}

fn zfill(call: &Call) -> Result<Value, Error> {
    let arguments = call.bind("zfill", &["width"])?;
    let (missing, _) = missing(call.state, call.text, arguments.required(0).and_then(|_| arguments.integer_or(0, 0))?)?;
    let digits = call.text.trim_start_matches(['+', '-']);
    let sign = if call.text.len() - digits.len() == 1 { &call.text[..1] } else { "" };
    Ok(format!("{sign}{}{}", "0".repeat(missing), &call.text[sign.len()..]).into())
}

/// White space, as Python's text methods see it.
pub(in super::super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn stripped(call: &Call) -> Result<Value, Error> {
    let arguments = call.bind("the method", &["chars"])?;
    let chars = arguments.some(0).map(|_| arguments.text(0)).transpose()?;
    let ends = [call.method != "rstrip", call.method != "lstrip"];
    Ok(strip(call.text, chars, ends).into())
}

/// A text without these characters at its ends: white space, if none are given.
pub(in super::super) fn strip<'a>(text: &'a str, chars: Option<&str>, [start, end]: [bool; 2]) -> &'a str {
    let goes = |character: char| chars.map_or_else(|| is_space(character), |chars| chars.contains(character));
    let text = if start { text.trim_start_matches(goes) } else { text };
    if end { text.trim_end_matches(goes) } else { text }
}

fn replaced(call: &Call) -> Result<Value, Error> {
    let arguments = call.bind("replace", &["old", "new", "count"])?;
    let (old, new) = (arguments.text(0)?, arguments.text(1)?);
    let count = usize::try_from(arguments.integer_or(2, -1)?).unwrap_or(usize::MAX);
    let matches = if old.is_empty() { call.text.chars().count() + 1 } else { call.text.matches(old).count() };
    pay(call.state, matches.min(count).saturating_mul(new.len()))?;
    Ok(call.text.replacen(old, new, count).into())
}

fn joined(state: &State, separator: &str, arguments: &Arguments) -> Result<Value, Error> {
    let mut output = String::new();
    for (at, item) in arguments.required(0)?.try_iter()?.enumerate() {
        let text =
            item.as_str().ok_or_else(|| fault(format!("join: item {at} must be a string, found {}", item.kind())))?;
        let separator = if at > 0 { separator } else { "" };
        pay(state, separator.len() + text.len())?;
        output.push_str(separator);
        output.push_str(text);
    }
    Ok(output.into())
}

fn expanded(call: &Call, arguments: &Arguments) -> Result<Value, Error> {
    let size = usize::try_from(arguments.integer_or(0, 8)?).unwrap_or(0);
    pay(call.state, call.text.matches('\t').count().saturating_mul(size))?;
    let (mut output, mut column) = (String::new(), 0);
    for character in call.text.chars() {
        match character {
            '\t' if size == 0 => {}
            '\t' => {
                let spaces = size - column % size;
                output.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            other => {
                output.push(other);
                column = if matches!(other, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(output.into())
}

/// The text with each character replaced as the table says: by a code, a text, or nothing.
fn translated(state: &State, text: &str, arguments: &Arguments) -> Result<Value, Error> {
    let table = arguments.required(0)?;
    let wrong = || arguments.wrong(0, "a table of codes and strings");
    let object = table.as_object().filter(|_| table.kind() == ValueKind::Map).ok_or_else(wrong)?;
    let (mut output, mut known) = (String::new(), HashMap::new());
    for character in text.chars() {
        let code = u32::from(character);
        let replacement = known.entry(code).or_insert_with(|| object.get_value(&Value::from(code)));
        match replacement {
            None => output.push(character),
            Some(value) if value.is_none() => {}
            Some(value) if value.is_integer() => {
                let code = u32::try_from(value.clone()).ok().and_then(char::from_u32);
                output.push(code.ok_or_else(wrong)?);
            }
            Some(value) => {
                let text = value.as_str().ok_or_else(wrong)?;
                pay(state, text.len())?;
                output.push_str(text);
            }
        }
    }
    Ok(output.into())
}

/// A table for `translate` from two texts of the same length, and a third one of what to remove.
fn table(arguments: &Arguments) -> Result<Value, Error> {
    let code = |character: char| Value::from(u32::from(character));
    if let Some(map) = arguments.required(0)?.as_object().filter(|_| arguments.get(1).is_none()) {
        let pairs = map.try_iter_pairs().ok_or_else(|| arguments.wrong(0, "a dictionary"))?;
        let key = |key: Value| key.as_str().and_then(|text| text.chars().next()).map_or(key.clone(), code);
        return Ok(Value::from_pairs(pairs.map(|(from, to)| (key(from), to))));
    }
    let (from, to) = (arguments.text(0)?, arguments.text(1)?);
    if from.chars().count() != to.chars().count() {
        return Err(arguments.wrong(1, "as long as the first"));
    }
    let pairs = from.chars().map(code).zip(to.chars().map(code));
    let removed = arguments.text_or(2, "")?.chars().map(|character| (code(character), Value::from(())));
    Ok(Value::from_pairs(pairs.chain(removed)))
}
