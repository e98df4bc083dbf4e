//! The methods of Python's str, list, tuple and dict. What changes a value is refused, as in the sandbox of jinja2.

mod case;
mod classes;
mod containers;
mod search;
mod split;
mod text;

use minijinja::{Error, ErrorKind, State, Value, value::ValueKind};

pub(super) use case::capitalize;
pub(super) use containers::pairs;
pub(super) use split::words;
pub(super) use text::{center, is_space, strip};

use super::arguments::{Arguments, fault};

/// A call of a method on a text.
pub(super) struct Call<'a, 'state, 'template, 'environment> {
    state: &'state State<'template, 'environment>,
    text: &'a str,
    method: &'a str,
    given: &'a [Value],
}

impl Call<'_, '_, '_, '_> {
    /// Binds the arguments to these parameters.
    fn bind(&self, callee: &'static str, names: &'static [&'static str]) -> Result<Arguments, Error> {
        Arguments::bind(callee, names, self.given)
    }

    /// Binds no arguments.
    fn bare(&self) -> Result<(), Error> {
        Arguments::bind("the method", &[], self.given).map(drop)
    }
}

/// Pays for a text before it is made.
pub(super) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / 64) as u64)
}

/// Calls a method that the value itself does not have.
pub(super) fn call(state: &mut State, value: &Value, method: &str, given: &[Value]) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => {
            let call = Call { state, text: value.as_str().unwrap_or_default(), method, given };
            text::call(&call)
                .or_else(|| case::call(&call))
                .or_else(|| search::call(&call))
                .or_else(|| split::call(&call))
                .or_else(|| classes::call(&call))
        }
        ValueKind::Map => containers::map(value, method, given),
        ValueKind::Seq | ValueKind::Iterable => containers::sequence(value, method, given),
        ValueKind::Plain if method == "fromkeys" => containers::map(value, method, given),
        _ => None,
    };
    found.unwrap_or_else(|| Err(Error::from(ErrorKind::UnknownMethod)))
}

/// Whether Python's value has a method of this name.
pub(super) fn exists(value: &Value, method: &str) -> bool {
    let known: &[&[&str]] = match value.kind() {
        ValueKind::String => &[text::NAMES, case::NAMES, search::NAMES, split::NAMES, classes::NAMES],
        ValueKind::Map => &[containers::OF_MAPS],
        ValueKind::Seq | ValueKind::Iterable => &[containers::OF_LISTS],
        _ => &[],
    };
    known.iter().any(|names| names.contains(&method))
}

/// The error for a method that changes its value.
fn unsafe_method(method: &str) -> Error {
    fault(format!("the method {method} would change a value, which a template must not"))
}
