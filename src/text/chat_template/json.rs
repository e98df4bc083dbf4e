//! Python's `json.dumps`, the format that models saw in training.

use std::io::{self, Write};

use minijinja::{Error, ErrorKind, State, Value, value::ValueKind};

use super::{arguments::fault, metered::Metered, repr::float};

/// Maximum indent. A wide indent of a deep value is an error instead of a cost in fuel.
pub(super) const WIDEST_INDENT: usize = 64;

/// The options of `json.dumps`.
pub(super) struct Layout {
    /// Whether to escape all but ASCII.
    pub(super) ascii: bool,
    /// What a line is indented with for each level. `None` writes one line.
    pub(super) indent: Option<String>,
    /// What stands between items, and between key and value.
    pub(super) separators: [String; 2],
    /// Whether keys are sorted.
    pub(super) sorted: bool,
}

/// The text of a value.
pub(super) fn dumps(state: &State, value: &Value, layout: &Layout) -> Result<String, Error> {
    if layout.indent.as_ref().is_some_and(|indent| indent.len() > WIDEST_INDENT) {
        return Err(refuse("the indent is above 64"));
    }
    let mut writer = Writer { output: Metered::new(state), layout, depth: 0 };
    writer.value(value)?;
    String::from_utf8(writer.output.text).map_err(|error| refuse(&error.to_string()))
}

fn refuse(what: &str) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: {what}"))
}

struct Writer<'a, 'state, 'template, 'environment> {
    output: Metered<'state, 'template, 'environment>,
    layout: &'a Layout,
    depth: usize,
}

impl Writer<'_, '_, '_, '_> {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::Undefined => Err(refuse("the value is undefined")),
            ValueKind::None => self.write("null"),
            ValueKind::Bool => self.write(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.write(&number(value)),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(&items)
            }
            ValueKind::Map => self.map(value),
            kind => Err(refuse(&format!("a value of kind {kind} is not JSON"))),
        }
    }

    fn list(&mut self, items: &[Value]) -> Result<(), Error> {
        if items.is_empty() {
            return self.write("[]");
        }
        self.open("[")?;
        for (at, item) in items.iter().enumerate() {
            self.next(at)?;
            self.value(item)?;
        }
        self.close("]")
    }

    fn map(&mut self, value: &Value) -> Result<(), Error> {
        let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
        let mut pairs: Vec<(Value, Value)> = pairs.ok_or_else(|| refuse("it is no dictionary"))?.collect();
        if pairs.is_empty() {
            return self.write("{}");
        }
        if self.layout.sorted {
            let kind = pairs[0].0.kind();
            if pairs.iter().any(|(key, _)| key.kind() != kind) {
                return Err(refuse("keys of several types cannot be sorted"));
            }
            pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
        }
        self.open("{")?;
        for (at, (key, value)) in pairs.iter().enumerate() {
            self.next(at)?;
            self.text(&name(key)?)?;
            self.write(&self.layout.separators[1])?;
            self.value(value)?;
        }
        self.close("}")
    }

    fn open(&mut self, bracket: &str) -> Result<(), Error> {
        self.depth += 1;
        self.write(bracket)
    }

    fn close(&mut self, bracket: &str) -> Result<(), Error> {
        self.depth -= 1;
        self.line()?;
        self.write(bracket)
    }

    /// What stands before item number `at`.
    fn next(&mut self, at: usize) -> Result<(), Error> {
        if at > 0 {
            self.write(&self.layout.separators[0])?;
        }
        self.line()
    }

    fn line(&mut self) -> Result<(), Error> {
        let Some(indent) = &self.layout.indent else { return Ok(()) };
        self.write("\n")?;
        (0..self.depth).try_for_each(|_| self.write(indent))
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        self.output.write_all(text.as_bytes()).map_err(|_: io::Error| Error::from(ErrorKind::OutOfFuel))
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        let mut quoted = serde_json::to_string(text).map_err(|error| refuse(&error.to_string()))?;
        if self.layout.ascii {
            let mut units = [0; 2];
            quoted = quoted.chars().fold(String::new(), |mut escaped, character| {
                match character {
                    '\0'..='~' => escaped.push(character),
                    _ => {
                        character.encode_utf16(&mut units).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"))
                    }
                }
                escaped
            });
        }
        self.write(&quoted)
    }
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() => match number {
            f64::INFINITY => "Infinity".into(),
            f64::NEG_INFINITY => "-Infinity".into(),
            _ if number.is_nan() => "NaN".into(),
            _ => float(number),
        },
        _ => value.to_string(),
    }
}

/// A key as JSON has it: a text.
fn name(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(key.is_true().to_string()),
        ValueKind::Number => Ok(number(key)),
        kind => Err(fault(format!("tojson: a key must be a string or a number, found {kind}"))),
    }
}
