//! The Python functions and filters that transformers adds to Jinja for chat templates.

use std::fmt::Write;

use minijinja::{
    Error, ErrorKind, Output, State, Value,
    value::{Kwargs, ValueKind},
};

use super::{json, metered::Metered, time};

pub(super) fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

pub(super) fn strftime_now(format: String) -> Result<String, Error> {
    time::strftime(time::now(), &format)
        .map_err(|directive| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {directive}")))
}

pub(super) fn tojson(state: &State, value: &Value, arguments: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let ascii: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    if ascii == Some(true) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson: ensure_ascii=True is not supported"));
    }
    json::dumps(state, value, indent).map(Value::from_safe_string)
}

/// The formatter of `{{ value }}`.
pub(super) fn write(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let written = match value.as_str() {
        Some(text) => output.write_str(text),
        None => output.write_str(&text(state, value)?),
    };
    written.map_err(Error::from)
}

/// The filter `string`.
pub(super) fn string(state: &State, value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String { Ok(value.clone()) } else { text(state, value).map(Value::from) }
}

fn text(state: &State, value: &Value) -> Result<String, Error> {
    if value.kind() == ValueKind::Number && !value.is_integer() {
        return f64::try_from(value.clone()).map(json::float);
    }
    let mut output = Metered::new(state);
    write!(output, "{value}").map_err(|_| Error::from(ErrorKind::OutOfFuel))?;
    Ok(String::from_utf8_lossy(&output.text).into_owned())
}
