//! Methods of lists, tuples and dictionaries.

use minijinja::{
    Error, Value,
    value::{Tuple, ValueKind},
};

use super::{
    super::arguments::{Arguments, fault},
    unsafe_method,
};

pub(super) const OF_LISTS: &[&str] =
    &["count", "index", "copy", "append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear"];
pub(super) const OF_MAPS: &[&str] =
    &["keys", "values", "items", "get", "copy", "fromkeys", "pop", "popitem", "update", "setdefault", "clear"];

pub(super) fn sequence(value: &Value, method: &str, given: &[Value]) -> Option<Result<Value, Error>> {
    let is_list = value.kind() == ValueKind::Iterable || !value.is_tuple();
    Some(match method {
        "count" => Arguments::bind("count", &["value"], given).and_then(|arguments| {
            let wanted = arguments.required(0)?;
            Ok(value.try_iter()?.filter(|item| item == wanted).count().into())
        }),
        "index" => {
            Arguments::bind("index", &["value", "start", "stop"], given).and_then(|arguments| index(value, &arguments))
        }
        "copy" if is_list => Arguments::bind("copy", &[], given).map(|_| value.clone()),
        other if is_list && OF_LISTS.contains(&other) => Err(unsafe_method(other)),
        _ => return None,
    })
}

fn index(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let wanted = arguments.required(0)?;
    let items: Vec<Value> = value.try_iter()?.collect();
    let place = |at: usize, default: usize| -> Result<usize, Error> {
        let place = arguments.integer_or(at, default as i64)?;
        let from_end = items.len() as i64 + place;
        Ok(usize::try_from(if place < 0 { from_end.max(0) } else { place }).unwrap_or(usize::MAX).min(items.len()))
    };
    let (start, stop) = (place(1, 0)?, place(2, items.len())?);
    let found = (start..stop).find(|at| items[*at] == *wanted);
    found.map(Value::from).ok_or_else(|| fault("index: the value is not in the list"))
}

pub(super) fn map(value: &Value, method: &str, given: &[Value]) -> Option<Result<Value, Error>> {
    let bare =
        |list: fn(&Value) -> Result<Value, Error>| Arguments::bind("the method", &[], given).and_then(|_| list(value));
    Some(match method {
        "keys" => bare(|value| Ok(value.try_iter()?.collect())),
        "values" => bare(|value| Ok(pairs(value)?.map(|(_, value)| value).collect())),
        "items" => bare(items),
        "copy" => bare(|value| Ok(value.clone())),
        "get" => Arguments::bind("get", &["key", "default"], given).and_then(|arguments| {
            let object = value.as_object().ok_or_else(|| fault("get: this is no dictionary"))?;
            let found = object.get_value(arguments.required(0)?);
            Ok(found.or_else(|| arguments.get(1).cloned()).unwrap_or(Value::from(())))
        }),
        "fromkeys" => Arguments::bind("fromkeys", &["iterable", "value"], given).and_then(|arguments| {
            let content = arguments.get(1).cloned().unwrap_or(Value::from(()));
            Ok(Value::from_pairs(arguments.required(0)?.try_iter()?.map(|key| (key, content.clone()))))
        }),
        other if OF_MAPS.contains(&other) => Err(unsafe_method(other)),
        _ => return None,
    })
}

/// The pairs of a dictionary.
pub(in super::super) fn pairs(value: &Value) -> Result<impl Iterator<Item = (Value, Value)> + use<>, Error> {
    let object = value.as_object().filter(|_| value.kind() == ValueKind::Map);
    let pairs = object.and_then(|object| object.try_iter_pairs());
    let pairs: Vec<(Value, Value)> =
        pairs.ok_or_else(|| fault(format!("this is no dictionary, but {}", value.kind())))?.collect();
    Ok(pairs.into_iter())
}

/// The pairs of a dictionary as tuples.
fn items(value: &Value) -> Result<Value, Error> {
    Ok(pairs(value)?.map(|(key, value)| Value::from(Tuple::from([key, value]))).collect())
}
