//! Arguments as Python binds them: by position or by name.

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, Rest, ValueKind, from_args},
};

/// The arguments of one call, in the order of the parameters.
pub(super) struct Arguments {
    callee: &'static str,
    names: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Arguments {
    /// Binds the arguments of `callee` to its parameters. Which ones are required, the accessors say.
    pub(super) fn bind(
        callee: &'static str,
        names: &'static [&'static str],
        given: &[Value],
    ) -> Result<Arguments, Error> {
        let (places, named): (Rest<Value>, Kwargs) = from_args(given)?;
        let mut values: Vec<Option<Value>> = places.0.into_iter().map(Some).collect();
        if values.len() > names.len() {
            let what = format!("{callee} takes at most {} arguments, found {}", names.len(), values.len());
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
        values.resize(names.len(), None);
        for name in named.args() {
            let fault = |what: &str| Error::new(ErrorKind::InvalidOperation, format!("{callee} {what} {name:?}"));
            let at = names.iter().position(|known| *known == name).ok_or_else(|| fault("has no argument"))?;
            if values[at].replace(named.peek(name)?).is_some() {
                return Err(fault("has twice the argument"));
            }
        }
        Ok(Arguments { callee, names, values })
    }

    /// An error about an argument: what it must be.
    pub(super) fn wrong(&self, at: usize, wanted: &str) -> Error {
        let found = self.values[at].as_ref().map_or("nothing".into(), |value| value.kind().to_string());
        let what = format!("{}: the argument {} must be {wanted}, found {found}", self.callee, self.names[at]);
        Error::new(ErrorKind::InvalidOperation, what)
    }

    /// An argument, if it is given.
    pub(super) fn get(&self, at: usize) -> Option<&Value> {
        self.values[at].as_ref()
    }

    /// An argument, if it is given and not none.
    pub(super) fn some(&self, at: usize) -> Option<&Value> {
        self.get(at).filter(|value| !value.is_none())
    }

    pub(super) fn required(&self, at: usize) -> Result<&Value, Error> {
        self.get(at).ok_or_else(|| self.wrong(at, "there"))
    }

    /// A required text.
    pub(super) fn text(&self, at: usize) -> Result<&str, Error> {
        self.get(at).and_then(Value::as_str).ok_or_else(|| self.wrong(at, "a string"))
    }

    /// A text, or `default` if it is absent.
    pub(super) fn text_or<'a>(&'a self, at: usize, default: &'a str) -> Result<&'a str, Error> {
        if self.get(at).is_none() { Ok(default) } else { self.text(at) }
    }

    /// A whole number, or `default` if it is absent. Truth values are numbers in Python.
    pub(super) fn integer_or(&self, at: usize, default: i64) -> Result<i64, Error> {
        let Some(value) = self.get(at) else { return Ok(default) };
        let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
        let number = is_whole.then(|| i128::try_from(value.clone()).ok()).flatten();
        let number = number.ok_or_else(|| self.wrong(at, "a whole number"))?;
        Ok(number.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Whether an argument is true; `default` if it is absent.
    pub(super) fn flag_or(&self, at: usize, default: bool) -> bool {
        self.get(at).map_or(default, Value::is_true)
    }
}

/// An error of the kind that Python raises for a wrong value or type.
pub(super) fn fault(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}
