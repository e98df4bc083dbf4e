//! What transformers adds to Jinja for chat templates.

use minijinja::{Error, ErrorKind, State, Value, value::Kwargs};

use super::{json, time};

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
