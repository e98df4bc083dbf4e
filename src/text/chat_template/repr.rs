//! Values as Python writes them: `str(value)` and `repr(value)`.

use std::fmt::Write;

use minijinja::{Error, ErrorKind, State, Value, value::ValueKind};

use super::metered::Metered;

/// `str(value)`.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        _ => repr(state, value),
    }
}

/// `repr(value)`.
pub(super) fn repr(state: &State, value: &Value) -> Result<String, Error> {
    let mut output = Metered::new(state);
    write(&mut output, value).map_err(|_| Error::from(ErrorKind::OutOfFuel))?;
    Ok(String::from_utf8_lossy(&output.text).into_owned())
}

fn write(output: &mut Metered, value: &Value) -> std::fmt::Result {
    match value.kind() {
        ValueKind::Undefined => output.write_str("Undefined"),
        ValueKind::None => output.write_str("None"),
        ValueKind::Bool => output.write_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => {
            output.write_str(&f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float))
        }
        ValueKind::String => quoted(output, value.as_str().unwrap_or_default()),
        ValueKind::Bytes => bytes(output, value.as_bytes().unwrap_or_default()),
        ValueKind::Seq if value.is_tuple() => {
            output.write_str("(")?;
            items(output, value)?;
            output.write_str(if value.len() == Some(1) { ",)" } else { ")" })
        }
        ValueKind::Seq | ValueKind::Iterable => {
            output.write_str("[")?;
            items(output, value)?;
            output.write_str("]")
        }
        ValueKind::Map => map(output, value),
        _ => write!(output, "{value}"),
    }
}

fn items(output: &mut Metered, value: &Value) -> std::fmt::Result {
    for (at, item) in value.try_iter().into_iter().flatten().enumerate() {
        if at > 0 {
            output.write_str(", ")?;
        }
        write(output, &item)?;
    }
    Ok(())
}

fn map(output: &mut Metered, value: &Value) -> std::fmt::Result {
    let Some(pairs) = value.as_object().and_then(|object| object.try_iter_pairs()) else {
        return write!(output, "{value}");
    };
    output.write_str("{")?;
    for (at, (key, value)) in pairs.enumerate() {
        if at > 0 {
            output.write_str(", ")?;
        }
        write(output, &key)?;
        output.write_str(": ")?;
        write(output, &value)?;
    }
    output.write_str("}")
}

/// A text with quotes. Python prefers single ones, and escapes what does not print.
fn quoted(output: &mut Metered, text: &str) -> std::fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    output.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\n' => output.write_str("\\n")?,
            '\r' => output.write_str("\\r")?,
            '\t' => output.write_str("\\t")?,
            '\\' => output.write_str("\\\\")?,
            _ if character == quote => write!(output, "\\{quote}")?,
            _ if prints(character) => output.write_char(character)?,
            '\0'..='\u{ff}' => write!(output, "\\x{:02x}", u32::from(character))?,
            '\u{100}'..='\u{ffff}' => write!(output, "\\u{:04x}", u32::from(character))?,
            _ => write!(output, "\\U{:08x}", u32::from(character))?,
        }
    }
    output.write_char(quote)
}

fn bytes(output: &mut Metered, bytes: &[u8]) -> std::fmt::Result {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    write!(output, "b{quote}")?;
    for byte in bytes {
        match byte {
            b'\n' => output.write_str("\\n")?,
            b'\r' => output.write_str("\\r")?,
            b'\t' => output.write_str("\\t")?,
            b'\\' => output.write_str("\\\\")?,
            _ if char::from(*byte) == quote => write!(output, "\\{quote}")?,
            b' '..=b'~' => output.write_char(char::from(*byte))?,
            _ => write!(output, "\\x{byte:02x}")?,
        }
    }
    output.write_char(quote)
}

/// Whether Python's `isprintable` is true. The standard library escapes the same characters after a letter.
pub(super) fn prints(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\u{a0}' => false,
        _ => {
            let mut text = String::from("a");
            text.push(character);
            text.escape_debug().eq(text.chars())
        }
    }
}

/// Python and Rust use an exponent for the same numbers but write it differently: `1e-05` and `1e+16`, or `1e-5` and
/// `1e16`.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let shortest = format!("{value:?}");
    match shortest.split_once('e') {
        None => shortest,
        Some((digits, exponent)) => {
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            format!("{digits}e{sign}{:0>2}", exponent.trim_start_matches('-'))
        }
    }
}
