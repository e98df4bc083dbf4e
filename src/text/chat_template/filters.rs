//! The filters of jinja2, with its parameters by position and by name. Those that are not here, the engine has alike.

mod lists;
mod numbers;
mod texts;

pub(super) use texts::escaped;

use minijinja::{
    Environment, Error, State, Value,
    value::{Kwargs, Rest, ValueOrKwargs},
};

use super::{
    arguments::{Arguments, fault},
    json, methods, repr,
};

type Body = fn(&mut State, &Value, &Arguments) -> Result<Value, Error>;

/// A filter: its name, its parameters, and what it does.
pub(super) struct Filter(&'static str, &'static [&'static str], Body);

const FILTERS: &[Filter] = &[
    Filter("default", &["default_value", "boolean"], default),
    Filter("d", &["default_value", "boolean"], default),
    Filter("string", &[], |state, value, _| string(state, value)),
    Filter("attr", &["name"], attr),
    Filter("pprint", &["verbose"], |state, value, _| pprint(state, value)),
    Filter("tojson", &["ensure_ascii", "indent", "separators", "sort_keys"], tojson),
];

/// Adds all filters.
pub(super) fn add(environment: &mut Environment<'static>) {
    let all = [FILTERS, texts::FILTERS, numbers::FILTERS, lists::FILTERS];
    for Filter(name, parameters, body) in all.into_iter().flatten() {
        environment.add_filter(*name, move |state: &mut State, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            let (value, rest) = given.split_first().ok_or_else(|| fault(format!("{name}: it filters nothing")))?;
            body(state, value, &Arguments::bind(name, parameters, rest)?)
        });
    }
}

/// The engine's own filter, with the arguments that are given, by name.
fn engine(arguments: &Arguments, names: &[&'static str]) -> Kwargs {
    let given = names.iter().enumerate().filter_map(|(at, name)| Some((*name, arguments.some(at)?.clone())));
    given.collect()
}

/// `str(value)`.
fn string(state: &State, value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() { Ok(value.clone()) } else { repr::text(state, value).map(Value::from) }
}

fn default(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let replaced = value.is_undefined() || (arguments.flag_or(1, false) && !value.is_true());
    Ok(if replaced { arguments.get(0).cloned().unwrap_or("".into()) } else { value.clone() })
}

/// An attribute, but never an item. Only texts, lists and dictionaries have some, their methods.
fn attr(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let name = arguments.text(0)?.to_owned();
    if methods::exists(value, &name) {
        let value = value.clone();
        return Ok(Value::from_function(move |state: &mut State, given: Rest<ValueOrKwargs>| {
            methods::call(state, &value, &name, &given.into_values())
        }));
    }
    let is_plain = value.as_object().is_none_or(|_| value.is_tuple() || value.len().is_some());
    if is_plain { Ok(Value::UNDEFINED) } else { value.get_attr(&name) }
}

/// `repr(value)` with sorted keys. Lines are not broken: no prompt wants that.
fn pprint(state: &State, value: &Value) -> Result<Value, Error> {
    let sorted = match methods::pairs(value) {
        Ok(pairs) => {
            let mut pairs: Vec<(Value, Value)> = pairs.collect();
            pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::from_pairs(pairs)
        }
        Err(_) => value.clone(),
    };
    repr::repr(state, &sorted).map(Value::from)
}

/// `json.dumps`, with the parameters that transformers gives it.
fn tojson(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let indent = match arguments.some(1) {
        None => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(usize::try_from(arguments.integer_or(1, 0)?).unwrap_or(0).min(json::WIDEST_INDENT + 1)),
        }),
    };
    let separators = match arguments.some(2) {
        None => [if indent.is_some() { "," } else { ", " }, ": "].map(str::to_owned),
        Some(pair) => {
            let texts = pair.try_iter()?.map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            let pair: Option<[String; 2]> = texts.and_then(|texts| texts.try_into().ok());
            pair.ok_or_else(|| arguments.wrong(2, "a pair of strings"))?
        }
    };
    let (ascii, sorted) = (arguments.flag_or(0, false), arguments.flag_or(3, false));
    json::dumps(state, value, &json::Layout { ascii, indent, separators, sorted }).map(Value::from)
}
