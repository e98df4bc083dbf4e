//! The metadata values of a GGUF file. Lists stay in the file and are decoded on request.

use std::{fmt, ops::Range};

use super::cursor::{Checked, Cursor};

/// Maximum nesting of lists; real files do not nest them.
const DEEPEST: usize = 4;

/// The type of a value or of a list's elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Bool,
    Text,
    List,
}

impl Kind {
    fn of(number: u32) -> Checked<Kind> {
        Ok(match number {
            0 => Kind::Unsigned(1),
            1 => Kind::Signed(1),
            2 => Kind::Unsigned(2),
            3 => Kind::Signed(2),
            4 => Kind::Unsigned(4),
            5 => Kind::Signed(4),
            6 => Kind::Float(4),
            7 => Kind::Bool,
            8 => Kind::Text,
            9 => Kind::List,
            10 => Kind::Unsigned(8),
            11 => Kind::Signed(8),
            12 => Kind::Float(8),
            other => return Err(format!("a value of type {other}, expected 0 to 12")),
        })
    }
}

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub(in super::super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    List(List),
}

/// Consecutive values of one type.
#[derive(Clone, PartialEq, Debug)]
pub(in super::super) struct List {
    kind: Kind,
    count: u64,
    /// Their byte range in the file.
    range: Range<usize>,
}

impl Value {
    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Unsigned(_) | Value::Signed(_) => "the integer",
            Value::Float(_) => "the float",
            Value::Bool(_) => "the truth value",
            Value::Text(_) => "the string",
            Value::List(_) => "a list:",
        }
    }

    /// Reads the type of a value and the value.
    pub(super) fn read(cursor: &mut Cursor) -> Checked<Value> {
        match Kind::of(cursor.u32()?)? {
            Kind::List => List::read(cursor, 0).map(Value::List),
            kind => Value::single(kind, cursor),
        }
    }

    fn single(kind: Kind, cursor: &mut Cursor) -> Checked<Value> {
        let mut bytes = |count: usize| -> Checked<u64> {
            Ok(match count {
                1 => u64::from(cursor.array::<1>()?[0]),
                2 => u64::from(u16::from_le_bytes(cursor.array()?)),
                4 => u64::from(cursor.u32()?),
                _ => cursor.u64()?,
            })
        };
        Ok(match kind {
            Kind::Unsigned(size) => Value::Unsigned(bytes(size)?),
            Kind::Signed(size) => {
                let above = 64 - 8 * size as u32;
                Value::Signed((bytes(size)? << above) as i64 >> above)
            }
            Kind::Float(4) => Value::Float(f32::from_bits(bytes(4)? as u32).into()),
            Kind::Float(_) => Value::Float(f64::from_bits(bytes(8)?)),
            Kind::Bool => match bytes(1)? {
                truth @ (0 | 1) => Value::Bool(truth == 1),
                other => return Err(format!("a truth value of {other}, expected 0 or 1")),
            },
            Kind::Text => Value::Text(cursor.text()?.to_owned()),
            Kind::List => return Err("a list where a single value belongs".into()),
        })
    }
}

impl List {
    /// Checks a list without keeping its elements.
    fn read(cursor: &mut Cursor, depth: usize) -> Checked<List> {
        let (kind, count) = (Kind::of(cursor.u32()?)?, cursor.u64()?);
        let start = cursor.at();
        match kind {
            Kind::Unsigned(size) | Kind::Signed(size) | Kind::Float(size) => cursor.take(count, size).map(|_| ())?,
            Kind::Bool => cursor.take(count, 1).map(|_| ())?,
            Kind::List if depth == DEEPEST => return Err(format!("lists in lists, more than {DEEPEST} deep")),
            // Each element takes at least eight bytes, so a false count reaches the end of the file.
            Kind::Text => (0..count).try_for_each(|_| cursor.text().map(drop))?,
            Kind::List => (0..count).try_for_each(|_| List::read(cursor, depth + 1).map(drop))?,
        }
        Ok(List { kind, count, range: start..cursor.at() })
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Its strings, if it is a list of strings. `file` is the whole file.
    pub(super) fn texts<'a>(&self, file: &'a [u8]) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        let mut cursor = Cursor::new(&file[..self.range.end], self.range.start);
        (self.kind == Kind::Text).then(|| (0..self.count).map_while(move |_| cursor.text().ok()))
    }

    /// Its integers, if it is a list of integers.
    pub(super) fn numbers<'a>(&self, file: &'a [u8]) -> Option<impl Iterator<Item = i64> + use<'a>> {
        let (kind, mut cursor) = (self.kind, Cursor::new(&file[..self.range.end], self.range.start));
        let read = move |_| match Value::single(kind, &mut cursor).ok()? {
            Value::Unsigned(number) => i64::try_from(number).ok(),
            Value::Signed(number) => Some(number),
            _ => None,
        };
        matches!(kind, Kind::Unsigned(_) | Kind::Signed(_)).then(|| (0..self.count).map_while(read))
    }
}

/// The form in messages.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unsigned(number) => write!(f, "{number}"),
            Value::Signed(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number}"),
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(list) => write!(f, "a list of {} values", list.count),
        }
    }
}
