//! The functions that jinja2 and transformers give a template, and operators of Python.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, Value, functions,
    value::{Kwargs, Object, Rest, ValueKind, ValueOrKwargs, from_args},
};

use super::{
    arguments::{Arguments, fault},
    filters::escaped,
    format, methods, repr,
    rewrite::{ITERATED, ORDERED, PERCENT, TEXTS},
    time,
};

/// Adds the functions.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_function("namespace", namespace);
    environment.add_global("dict", Value::from_object(Dict));
    environment.add_function("cycler", |items: Rest<Value>| match items.is_empty() {
        true => Err(fault("cycler: it needs at least one item")),
        false => Ok(Value::from_object(Cycler { items: items.0, place: Mutex::new(0) })),
    });
    environment.add_function("joiner", |given: Rest<ValueOrKwargs>| {
        let arguments = Arguments::bind("joiner", &["sep"], &given.into_values())?;
        let separator = arguments.text_or(0, ", ")?.to_owned();
        Ok::<_, Error>(Value::from_object(Joiner { separator, used: Mutex::new(false) }))
    });
    environment.add_function(PERCENT, percent);
    environment.add_function(TEXTS, texts);
    environment.add_function(ORDERED, ordered);
    environment.add_function(ITERATED, |value: &Value| match value.is_none() {
        true => Err(fault("none is not iterable")),
        false => Ok(value.clone()),
    });
}

fn raise_exception(state: &State, message: &Value) -> Result<Value, Error> {
    let what = format!("the template refuses: {}", repr::text(state, message)?);
    Err(Error::new(ErrorKind::InvalidOperation, what))
}

fn strftime_now(format: String) -> Result<String, Error> {
    time::strftime(time::now(), &format).map_err(|directive| fault(format!("strftime_now: {directive}")))
}

/// A namespace. Names that begin with an underscore are refused, as in transformers.
fn namespace(given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let attributes = dictionary(&given.into_values())?;
    for name in attributes.try_iter()? {
        if name.as_str().is_some_and(|name| name.starts_with('_')) {
            return Err(fault(format!("namespace: the name {name} begins with an underscore")));
        }
    }
    let pairs = methods::pairs(&attributes)?;
    let named: Kwargs = pairs.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect();
    functions::namespace(Some(from_args::<(ValueOrKwargs,)>(&[named.into()])?.0))
}

/// A dictionary of a dictionary or pairs, and of named values.
fn dictionary(given: &[Value]) -> Result<Value, Error> {
    let (places, named): (Rest<Value>, Kwargs) = from_args(given)?;
    let mut pairs: Vec<(Value, Value)> = match &*places.0 {
        [] => Vec::new(),
        [one] if one.kind() == ValueKind::Map => methods::pairs(one)?.collect(),
        [one] => {
            let pair = |item: Value| Ok::<_, Error>((item.get_item(&0.into())?, item.get_item(&1.into())?));
            one.try_iter()?.map(pair).collect::<Result<_, _>>()?
        }
        more => return Err(fault(format!("dict takes at most 1 argument, found {}", more.len()))),
    };
    for name in named.args() {
        pairs.push((name.into(), named.peek(name)?));
    }
    Ok(Value::from_pairs(pairs))
}

/// `dict`: a function, with the method `fromkeys`.
#[derive(Debug)]
struct Dict;

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State, given: &[Value]) -> Result<Value, Error> {
        dictionary(given)
    }
}

/// Gives its items in turn.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    place: Mutex<usize>,
}

impl Object for Cycler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let place = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        (key.as_str() == Some("current")).then(|| self.items[place].clone())
    }

    fn call_method(self: &Arc<Self>, _: &mut State, method: &str, _: &[Value]) -> Result<Value, Error> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        match method {
            "next" => {
                let item = self.items[*place].clone();
                *place = (*place + 1) % self.items.len();
                Ok(item)
            }
            "reset" => {
                *place = 0;
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// Gives its separator, except at the first call.
#[derive(Debug)]
struct Joiner {
    separator: String,
    used: Mutex<bool>,
}

impl Object for Joiner {
    fn call(self: &Arc<Self>, _: &mut State, _: &[Value]) -> Result<Value, Error> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let separator = if *used { self.separator.as_str() } else { "" };
        *used = true;
        Ok(separator.into())
    }
}

/// `a ~ b ~ c`: the texts of all values.
fn texts(state: &State, values: Rest<Value>) -> Result<String, Error> {
    let mut output = String::new();
    for value in values.iter() {
        match value.as_str().filter(|_| value.kind() == ValueKind::String) {
            Some(text) => {
                methods::pay(state, text.len())?;
                output.push_str(text);
            }
            None => output.push_str(&repr::text(state, value)?),
        }
    }
    Ok(output)
}

/// `left < right` and the like. Only numbers, texts, lists and tuples have an order, each among themselves.
fn ordered(left: &Value, operator: &str, right: &Value) -> Result<bool, Error> {
    let class = |value: &Value| match value.kind() {
        ValueKind::Number | ValueKind::Bool => 1,
        ValueKind::String => 2,
        ValueKind::Seq | ValueKind::Iterable if value.is_tuple() => 3,
        ValueKind::Seq | ValueKind::Iterable => 4,
        _ => 0,
    };
    if class(left) == 0 || class(left) != class(right) {
        return Err(fault(format!("{operator} does not work on {} and {}", left.kind(), right.kind())));
    }
    Ok(match operator {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    })
}

/// `left % right`: the remainder of a number, or a formatted text.
fn percent(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        return format::percent(state, text, right);
    }
    let integer = |value: &Value| {
        let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
        is_whole.then(|| i128::try_from(value.clone()).ok()).flatten()
    };
    let by_zero = || fault("modulo by zero");
    if let (Some(left), Some(right)) = (integer(left), integer(right)) {
        let rest = left.checked_rem(right).ok_or_else(by_zero)?;
        // The result has the sign of the divisor.
        let rest = if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest };
        return Ok(i64::try_from(rest).map_or_else(|_| Value::from(rest), Value::from));
    }
    let number = |value: &Value| {
        let truth = (value.kind() == ValueKind::Bool).then(|| f64::from(u8::from(value.is_true())));
        truth.or_else(|| (value.kind() == ValueKind::Number).then(|| f64::try_from(value.clone()).ok())?)
    };
    let (Some(left), Some(right)) = (number(left), number(right)) else {
        return Err(fault(format!("% does not work on {} and {}", left.kind(), right.kind())));
    };
    if right == 0.0 {
        return Err(by_zero());
    }
    let rest = left % right;
    Ok(if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest.abs().copysign(right) }.into())
}

/// The formatter of `{{ value }}`.
pub(super) fn write(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let is_plain = matches!(state.auto_escape(), AutoEscape::None) || value.is_safe();
    let written = match value.as_str().filter(|_| value.kind() == ValueKind::String) {
        Some(text) if is_plain => output.write_str(text),
        _ if is_plain => output.write_str(&repr::text(state, value)?),
        _ => output.write_str(&escaped(&repr::text(state, value)?)),
    };
    written.map_err(Error::from)
}
