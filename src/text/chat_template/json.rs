//! Python's `json.dumps(value, ensure_ascii=False)`, the format that models saw in training.

use std::io::{self, Write};

use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::metered::Metered;

/// Maximum indent. A wide indent of a deep value is an error instead of a cost in fuel.
const WIDEST_INDENT: usize = 64;

pub(super) fn dumps(state: &State, value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let refuse = |what: &str| Error::new(ErrorKind::BadSerialization, format!("tojson: {what}"));
    if value.is_undefined() {
        return Err(refuse("the value is undefined"));
    }
    if indent.is_some_and(|indent| indent > WIDEST_INDENT) {
        return Err(refuse("the indent is above 64"));
    }
    let mut output = Metered::new(state);
    let spaces = [b' '; WIDEST_INDENT];
    let layout = indent.map(|indent| PrettyFormatter::with_indent(&spaces[..indent]));
    let result = value.serialize(&mut Serializer::with_formatter(&mut output, Python { layout }));
    result.map_err(|error| match error.io_error_kind() {
        Some(_) => Error::from(ErrorKind::OutOfFuel),
        None => refuse(&error.to_string()),
    })?;
    String::from_utf8(output.text).map_err(|error| refuse(&error.to_string()))
}

/// Separators `", "` and `": "`, or indented lines.
struct Python<'a> {
    layout: Option<PrettyFormatter<'a>>,
}

/// Forwards to the indenting formatter if there is one, or else writes the given bytes.
macro_rules! lay_out {
    ($self:ident, $writer:ident, $method:ident($($argument:expr),*), $plain:expr) => {
        match &mut $self.layout {
            Some(layout) => layout.$method($writer $(, $argument)*),
            None => $writer.write_all($plain),
        }
    };
}

impl Formatter for Python<'_> {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        lay_out!(self, writer, begin_array(), b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        lay_out!(self, writer, end_array(), b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        lay_out!(self, writer, begin_array_value(first), if first { b"" } else { b", " })
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        lay_out!(self, writer, end_array_value(), b"")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        lay_out!(self, writer, begin_object(), b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        lay_out!(self, writer, end_object(), b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        lay_out!(self, writer, begin_object_key(first), if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        lay_out!(self, writer, end_object_value(), b"")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(float(value).as_bytes())
    }
}

/// Python and Rust use an exponent for the same numbers but write it differently: `1e-05` and `1e+16`, or `1e-5` and
/// `1e16`.
pub(super) fn float(value: f64) -> String {
    let shortest = format!("{value:?}");
    match shortest.split_once('e') {
        None => shortest,
        Some((digits, exponent)) => {
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            format!("{digits}e{sign}{:0>2}", exponent.trim_start_matches('-'))
        }
    }
}
