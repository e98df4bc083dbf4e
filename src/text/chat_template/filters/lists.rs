//! Filters about lists. The engine computes them; here they get jinja2's parameters.

use std::hash::{BuildHasher, Hasher, RandomState};

use minijinja::{Error, State, Value, filters, value::ValueKind};

use super::{
    super::arguments::{Arguments, fault},
    Filter, engine, string,
};

const SORT: &[&str] = &["reverse", "case_sensitive", "attribute"];
const PAIRS: &[&str] = &["case_sensitive", "by", "reverse"];
const BEST: &[&str] = &["case_sensitive", "attribute"];
const GROUPS: &[&str] = &["attribute", "default", "case_sensitive"];

pub(super) const FILTERS: &[Filter] = &[
    Filter("sort", SORT, |state, value, arguments| {
        comparable(value, arguments.some(2))?;
        filters::sort(state, value.clone(), engine(arguments, SORT))
    }),
    Filter("dictsort", PAIRS, |_, value, arguments| filters::dictsort(value, engine(arguments, PAIRS))),
    Filter("min", BEST, |state, value, arguments| {
        comparable(value, arguments.some(1))?;
        filters::min(state, value.clone(), engine(arguments, BEST))
    }),
    Filter("max", BEST, |state, value, arguments| {
        comparable(value, arguments.some(1))?;
        filters::max(state, value.clone(), engine(arguments, BEST))
    }),
    Filter("unique", BEST, |state, value, arguments| filters::unique(state, value.clone(), engine(arguments, BEST))),
    Filter("groupby", GROUPS, |_, value, arguments| filters::groupby(value.clone(), None, engine(arguments, GROUPS))),
    Filter("batch", &["linecount", "fill_with"], |state, value, arguments| {
        pieces(state, value, arguments, "batch_of_engine")
    }),
    Filter("slice", &["slices", "fill_with"], |state, value, arguments| {
        pieces(state, value, arguments, "slice_of_engine")
    }),
    Filter("join", &["d", "attribute"], join),
    Filter("list", &[], list),
    Filter("random", &[], random),
];

/// The engine's filters that are called with a count and a fill.
pub(super) fn pieces(state: &mut State, value: &Value, arguments: &Arguments, name: &str) -> Result<Value, Error> {
    let mut given = vec![value.clone(), arguments.required(0)?.clone()];
    given.extend(arguments.some(1).cloned());
    state.apply_filter(name, &given)
}

/// Rejects what Python cannot compare: the engine has an order for all values.
fn comparable(value: &Value, attribute: Option<&Value>) -> Result<(), Error> {
    iterable(value)?;
    if attribute.is_some() || value.as_object().is_none() {
        return Ok(());
    }
    let class = |kind: ValueKind| match kind {
        ValueKind::Bool => ValueKind::Number,
        ValueKind::Iterable => ValueKind::Seq,
        other => other,
    };
    let mut kinds = value.try_iter()?.map(|item| class(item.kind()));
    let Some(first) = kinds.next() else { return Ok(()) };
    let other = kinds.find(|kind| *kind != first || matches!(kind, ValueKind::None | ValueKind::Map));
    other.map_or(Ok(()), |other| Err(fault(format!("{first} and {other} cannot be compared"))))
}

/// Rejects none, which the engine takes for an empty list.
fn iterable(value: &Value) -> Result<(), Error> {
    if value.is_none() { Err(fault("none is not iterable")) } else { Ok(()) }
}

fn join(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    iterable(value)?;
    let separator = arguments.text_or(0, "")?;
    let mut output = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        let item = match arguments.some(1) {
            Some(path) => attribute(&item, path)?,
            None => item,
        };
        let text = string(state, &item)?;
        let text = text.as_str().unwrap_or_default();
        let separator = if at > 0 { separator } else { "" };
        super::methods::pay(state, separator.len() + text.len())?;
        output.push_str(separator);
        output.push_str(text);
    }
    Ok(output.into())
}

/// An item's value at a path such as `tags.0`.
fn attribute(item: &Value, path: &Value) -> Result<Value, Error> {
    let Some(text) = path.as_str() else { return item.get_item(path) };
    text.split('.').try_fold(item.clone(), |value, part| match part.parse::<usize>() {
        Ok(place) => value.get_item(&place.into()),
        Err(_) => value.get_attr(part),
    })
}

fn list(state: &mut State, value: &Value, _: &Arguments) -> Result<Value, Error> {
    iterable(value)?;
    filters::list(state, value.clone())
}

fn random(_: &mut State, value: &Value, _: &Arguments) -> Result<Value, Error> {
    let items: Vec<Value> = value.try_iter()?.collect();
    let number = RandomState::new().build_hasher().finish() as usize;
    Ok(if items.is_empty() { Value::UNDEFINED } else { items[number % items.len()].clone() })
}
