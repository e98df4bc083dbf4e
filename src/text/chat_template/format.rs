//! `text % values` and `text.format(…)`. The template engine formats a single value.

use minijinja::{
    Error, State, Value,
    formatting::{FormatStyle, format},
    value::{Kwargs, Rest, ValueKind, from_args},
};

use super::{arguments::fault, methods::pay, repr};

/// `text % values`: a tuple has a value for each conversion, a dictionary one for each name.
pub(super) fn percent(state: &mut State, text: &str, values: &Value) -> Result<Value, Error> {
    let conversions = conversions(text);
    let mut rewritten = text.to_owned();
    let mut given = Vec::new();
    if conversions.iter().any(|conversion| conversion.named) {
        let pairs = super::methods::pairs(values)?;
        let named: Kwargs = pairs.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect();
        given.push(named.into());
    } else {
        let is_tuple = values.is_tuple();
        let all: Vec<Value> = if is_tuple { values.try_iter()?.collect() } else { vec![values.clone()] };
        let wanted: usize = conversions.iter().map(|conversion| conversion.values).sum();
        let unused =
            wanted == 0 && !is_tuple && matches!(values.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Undefined);
        if wanted != all.len() && !unused {
            return Err(fault(format!("%: {wanted} conversions in the text, but {} values", all.len())));
        }
        let mut all = all.into_iter();
        for conversion in &conversions {
            // A width or precision of `*` is a value of its own, before the value that it is for.
            given.extend(all.by_ref().take(conversion.values - 1));
            if let Some(value) = all.next() {
                given.push(prepared(state, &value, text.as_bytes()[conversion.letter])?);
            }
        }
        for conversion in conversions.iter().filter(|conversion| b"ra".contains(&text.as_bytes()[conversion.letter])) {
            rewritten.replace_range(conversion.letter..=conversion.letter, "s");
        }
    }
    given.insert(0, rewritten.into());
    state.apply_filter("format", &given)
}

/// A value as the engine formats it like Python.
fn prepared(state: &State, value: &Value, letter: u8) -> Result<Value, Error> {
    let is_float = value.kind() == ValueKind::Number && !value.is_integer();
    Ok(match letter {
        b'r' | b'a' => repr::repr(state, value)?.into(),
        b's' if value.as_str().is_none() => repr::text(state, value)?.into(),
        b'd' | b'i' | b'u' if is_float => {
            let number = f64::try_from(value.clone())?;
            let whole = number.is_finite().then_some(number.trunc() as i128);
            whole.map(Value::from).ok_or_else(|| fault("%d: the number is not finite"))?
        }
        _ => value.clone(),
    })
}

/// A conversion: the place of its letter, how many values it takes, and whether they have names.
struct Conversion {
    letter: usize,
    values: usize,
    named: bool,
}

fn conversions(text: &str) -> Vec<Conversion> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(begin) = text[at..].find('%').map(|begin| at + begin + 1) {
        let named = text[begin..].starts_with('(');
        let name = if named { text[begin..].find(')').unwrap_or(0) } else { 0 };
        let rest = &text[begin + name..];
        let Some(end) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '%') else { break };
        at = begin + name + end + 1;
        if !rest[end..].starts_with('%') {
            found.push(Conversion { letter: at - 1, values: 1 + rest[..end].matches('*').count(), named });
        }
    }
    found
}

/// `text.format(…)`.
pub(super) fn braces(state: &State, text: &str, given: &[Value]) -> Result<String, Error> {
    let (places, named): (Rest<Value>, Kwargs) = from_args(given)?;
    let field = |name: &str| match name.parse::<usize>() {
        Ok(place) => places.get(place).cloned(),
        Err(_) => named.peek::<Value>(name).ok(),
    };
    Braces { state, field: &field, next: 0 }.format(text, 0)
}

/// `text.format_map(mapping)`.
pub(super) fn braces_of_map(state: &State, text: &str, mapping: &Value) -> Result<String, Error> {
    let field = |name: &str| mapping.get_item(&Value::from(name)).ok().filter(|value| !value.is_undefined());
    Braces { state, field: &field, next: 0 }.format(text, 0)
}

struct Braces<'a, 'template, 'environment> {
    state: &'a State<'template, 'environment>,
    field: &'a dyn Fn(&str) -> Option<Value>,
    /// The place that the next field without a name takes.
    next: usize,
}

impl Braces<'_, '_, '_> {
    fn format(&mut self, text: &str, depth: usize) -> Result<String, Error> {
        let (mut output, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            output.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if after.starts_with(brace) {
                output.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let end = closing(after).filter(|_| brace == "{" && depth < 2);
            let end = end.ok_or_else(|| fault(format!("format: a single {brace:?} in {text:?}")))?;
            let formatted = self.replaced(&after[..end], depth)?;
            pay(self.state, formatted.len())?;
            output.push_str(&formatted);
            rest = &after[end + 1..];
        }
        Ok(output + rest)
    }

    /// One field: `name`, `name!r`, `name:format` or `name!r:format`.
    fn replaced(&mut self, field: &str, depth: usize) -> Result<String, Error> {
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
        let format = self.format(format, depth + 1)?;
        let value = self.value(name)?;
        let value = match conversion {
            "" => value,
            "s" => repr::text(self.state, &value)?.into(),
            "r" | "a" => repr::repr(self.state, &value)?.into(),
            other => return Err(fault(format!("format: unknown conversion {other:?}"))),
        };
        if format.is_empty() { repr::text(self.state, &value) } else { formatted(self.state, &value, &format) }
    }

    /// The value of a name with its attributes and items, such as `0.role[text]`.
    fn value(&mut self, path: &str) -> Result<Value, Error> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at(end);
        let missing = || fault(format!("format: there is no value for {{{path}}}"));
        let mut value = if name.is_empty() {
            self.next += 1;
            (self.field)(&(self.next - 1).to_string()).ok_or_else(missing)?
        } else {
            (self.field)(name).ok_or_else(missing)?
        };
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = value.get_attr(&after[..end])?;
                rest = &after[end..];
            } else {
                let (key, after) = rest.get(1..).and_then(|key| key.split_once(']')).ok_or_else(missing)?;
                value = value.get_item(&key.parse::<usize>().map_or(key.into(), Value::from))?;
                rest = after;
            }
        }
        Ok(value)
    }
}

/// The place of the brace that closes a field; its format may hold fields too.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn formatted(state: &State, value: &Value, format_of_value: &str) -> Result<String, Error> {
    let numbers = format_of_value.split(|c: char| !c.is_ascii_digit());
    let widest = numbers.filter(|digits| !digits.is_empty()).map(|digits| digits.parse().unwrap_or(usize::MAX)).max();
    pay(state, widest.unwrap_or(0))?;
    if let Some(share) = format_of_value.strip_suffix('%') {
        let number = f64::try_from(value.clone())? * 100.0;
        let text = format(FormatStyle::StrFormat, &format!("{{:{share}f}}"), &[number.into()])?;
        return Ok(text + "%");
    }
    format(FormatStyle::StrFormat, &format!("{{:{format_of_value}}}"), std::slice::from_ref(value))
}
