//! Filters about numbers.

use minijinja::{Error, State, Value, value::ValueKind};

use super::{
    super::{
        arguments::{Arguments, fault},
        methods::is_space,
    },
    Filter,
};

pub(super) const FILTERS: &[Filter] = &[
    Filter("abs", &[], |_, value, _| match value.kind() {
        ValueKind::Bool => Ok(i64::from(value.is_true()).into()),
        _ => minijinja::filters::abs(value.clone()),
    }),
    Filter("int", &["default", "base"], int),
    Filter("float", &["default"], float),
    Filter("filesizeformat", &["binary"], file_size),
];

/// The text of a number as Python reads it: without white space around, and without single underscores inside.
fn plain(text: &str) -> Option<String> {
    let text = text.trim_matches(is_space);
    let wrong = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!wrong).then(|| text.replace('_', ""))
}

/// The number of a text in a base from 2 to 36; with base 0, its prefix says which.
fn parsed(text: &str, base: i64) -> Option<i128> {
    let text = plain(text)?.to_lowercase();
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text.as_str()),
    };
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let found = prefixes.into_iter().find(|(prefix, of)| digits.starts_with(prefix) && (base == 0 || base == *of));
    let (digits, base) = found.map_or((digits, if base == 0 { 10 } else { base }), |(_, of)| (&digits[2..], of));
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
    let number = is_number.then(|| i128::from_str_radix(digits, base).ok()).flatten()?;
    Some(if negative { -number } else { number })
}

/// The whole part of a float.
fn whole(number: f64) -> Option<i128> {
    (number.is_finite() && number.abs() < 1e38).then_some(number.trunc() as i128)
}

fn int(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            parsed(text, arguments.integer_or(1, 10)?).or_else(|| whole(parsed_float(text)?))
        }
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(whole),
        ValueKind::Undefined => return Err(fault("int: the value is undefined")),
        _ => None,
    };
    let small = |number: i128| i64::try_from(number).map_or_else(|_| Value::from(number), Value::from);
    Ok(found.map_or_else(|| arguments.get(0).cloned().unwrap_or(0.into()), small))
}

fn parsed_float(text: &str) -> Option<f64> {
    plain(text)?.parse().ok()
}

fn float(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => parsed_float(value.as_str().unwrap_or_default()),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::Undefined => return Err(fault("float: the value is undefined")),
        _ => None,
    };
    Ok(found.map_or_else(|| arguments.get(0).cloned().unwrap_or(0.0.into()), Value::from))
}

fn file_size(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let bytes = f64::try_from(float(state, value, &Arguments::bind("float", &["default"], &[])?)?)?;
    let binary = arguments.flag_or(0, false);
    let (base, infix) = if binary { (1024.0_f64, "i") } else { (1000.0, "") };
    if bytes == 1.0 {
        return Ok("1 Byte".into());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes.trunc()).into());
    }
    let letters = [if binary { 'K' } else { 'k' }, 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];
    let power = (1..=letters.len() as i32).find(|power| bytes < base.powi(power + 1)).unwrap_or(letters.len() as i32);
    let letter = letters[power as usize - 1];
    Ok(format!("{:.1} {letter}{infix}B", bytes / base.powi(power)).into())
}
