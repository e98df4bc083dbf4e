//! The tests of jinja2 (`x is …`) that the template engine answers in another way.

use minijinja::{
    Environment, Error, State, Value,
    tests::{is_even, is_odd},
    value::ValueKind,
};

use super::{arguments::fault, repr};

/// Adds the tests.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Undefined => true,
        ValueKind::Map => !is_namespace(value),
        // Ranges and parts of lists have a length.
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    });
    environment
        .add_test("iterable", |value: &Value| !value.is_none() && (value.is_undefined() || value.try_iter().is_ok()));
    environment.add_test("mapping", |value: &Value| value.kind() == ValueKind::Map && !is_namespace(value));
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    environment.add_test("lower", |state: &State, value: &Value| {
        let text = repr::text(state, value)?;
        Ok::<_, Error>(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))
    });
    environment.add_test("upper", |state: &State, value: &Value| {
        let text = repr::text(state, value)?;
        Ok::<_, Error>(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))
    });
    environment.add_test("odd", |value: &Value| number(value).map(is_odd));
    environment.add_test("even", |value: &Value| number(value).map(is_even));
}

/// A namespace is no dictionary, though the engine gives it the same kind.
fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("Namespace"))
}

fn number(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Number | ValueKind::Bool => Ok(value.clone()),
        other => Err(fault(format!("{other} is neither odd nor even"))),
    }
}
