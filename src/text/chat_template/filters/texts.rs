//! Filters about texts.

use minijinja::{Error, State, Value};

use super::{
    super::{
        arguments::{Arguments, fault},
        methods::{capitalize, center, is_space, pairs, pay, strip, words},
        repr,
    },
    Filter,
};

pub(super) const FILTERS: &[Filter] = &[
    Filter("center", &["width"], |state, value, arguments| {
        let width = arguments.integer_or(0, 80)?;
        center(state, &repr::text(state, value)?, width).map(Value::from)
    }),
    Filter("trim", &["chars"], |state, value, arguments| {
        let chars = arguments.some(0).map(|_| arguments.text(0)).transpose()?;
        Ok(strip(&repr::text(state, value)?, chars, [true, true]).into())
    }),
    Filter("upper", &[], |state, value, _| Ok(repr::text(state, value)?.to_uppercase().into())),
    Filter("lower", &[], |state, value, _| Ok(repr::text(state, value)?.to_lowercase().into())),
    Filter("capitalize", &[], |state, value, _| Ok(capitalize(&repr::text(state, value)?).into())),
    Filter("title", &[], |state, value, _| Ok(minijinja::filters::title(repr::text(state, value)?.into()).into())),
    Filter("safe", &[], |state, value, _| Ok(Value::from_safe_string(repr::text(state, value)?))),
    Filter("replace", &["old", "new", "count"], replace),
    Filter("indent", &["width", "first", "blank"], indent),
    Filter("truncate", &["length", "killwords", "end", "leeway"], truncate),
    Filter("wordcount", &[], |state, value, _| {
        let text = repr::text(state, value)?;
        Ok(text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count().into())
    }),
    Filter("wordwrap", &["width", "break_long_words", "wrapstring", "break_on_hyphens"], word_wrap),
    Filter("striptags", &[], |state, value, _| Ok(without_tags(&repr::text(state, value)?).into())),
    Filter("escape", &[], |state, value, _| escape(state, value)),
    Filter("e", &[], |state, value, _| escape(state, value)),
    Filter("forceescape", &[], |state, value, _| Ok(Value::from_safe_string(escaped(&repr::text(state, value)?)))),
    Filter("urlencode", &[], url_encode),
    Filter("xmlattr", &["autospace"], attributes),
];

fn replace(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = |value: &Value| repr::text(state, value);
    let (value, old, new) = (text(value)?, text(arguments.required(0)?)?, text(arguments.required(1)?)?);
    let count = match arguments.some(2) {
        None => usize::MAX,
        Some(_) => usize::try_from(arguments.integer_or(2, -1)?).unwrap_or(usize::MAX),
    };
    let matches = if old.is_empty() { value.chars().count() + 1 } else { value.matches(&*old).count() };
    pay(state, matches.min(count).saturating_mul(new.len()))?;
    Ok(value.replacen(&*old, &new, count).into())
}

fn indent(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = value.as_str().ok_or_else(|| fault(format!("indent: it needs a string, found {}", value.kind())))?;
    let (first, blank) = (arguments.flag_or(1, false), arguments.flag_or(2, false));
    let lines: Vec<&str> = text.split('\n').collect();
    let indent = match arguments.get(0).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => {
            let width = usize::try_from(arguments.integer_or(0, 4)?).unwrap_or(0);
            pay(state, width.saturating_mul(lines.len()))?;
            " ".repeat(width)
        }
    };
    pay(state, indent.len().saturating_mul(lines.len()))?;
    let mut output = if first { indent.clone() } else { String::new() };
    for (at, line) in lines.into_iter().enumerate() {
        if at > 0 {
            output.push('\n');
            output.push_str(if line.is_empty() && !blank { "" } else { &indent });
        }
        output.push_str(line);
    }
    Ok(output.into())
}

fn truncate(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = repr::text(state, value)?;
    let end = arguments.text_or(2, "...")?;
    let size = |at: usize, default: i64| arguments.integer_or(at, default).map(|n| usize::try_from(n).unwrap_or(0));
    let length = size(0, 255)?;
    let leeway = if arguments.some(3).is_some() { size(3, 5)? } else { 5 };
    let ending = end.chars().count();
    if length < ending {
        return Err(fault(format!("truncate: expected length >= {ending}, found {length}")));
    }
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.into());
    }
    let kept: String = text.chars().take(length - ending).collect();
    let kept =
        if arguments.flag_or(1, false) { &*kept } else { kept.rsplit_once(' ').map_or(&*kept, |(kept, _)| kept) };
    Ok(format!("{kept}{end}").into())
}

/// Lines of at most `width` characters. A word that is longer is cut, if `break_long_words`.
fn word_wrap(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = value.as_str().ok_or_else(|| fault(format!("wordwrap: it needs a string, found {}", value.kind())))?;
    let width = usize::try_from(arguments.integer_or(0, 79)?).ok().filter(|width| *width > 0);
    let width = width.ok_or_else(|| arguments.wrong(0, "above 0"))?;
    let wrap = if arguments.some(2).is_some() { arguments.text(2)? } else { "\n" };
    let (cut, hyphens) = (arguments.flag_or(1, true), arguments.flag_or(3, true));
    let lines = text.lines().flat_map(|line| {
        let lines = wrapped(pieces(line, hyphens), width, cut);
        if lines.is_empty() { vec![String::new()] } else { lines }
    });
    let lines: Vec<String> = lines.collect();
    pay(state, lines.len().saturating_mul(wrap.len()))?;
    Ok(lines.join(wrap).into())
}

/// Words and the white space between them. A hyphen between letters ends a piece.
fn pieces(line: &str, hyphens: bool) -> Vec<&str> {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let mut before = None;
    for (at, character) in line.char_indices() {
        let ends_space = before.is_some_and(|before| is_space(before) != is_space(character));
        let ends_part = before == Some('-')
            && hyphens
            && is_letter(Some(character))
            && is_letter(line[..at - 1].chars().next_back());
        if ends_space || ends_part {
            pieces.push(&line[begin..at]);
            begin = at;
        }
        before = Some(character);
    }
    pieces.push(&line[begin..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Fills lines with pieces. White space goes at both ends of a line, except before the first word.
fn wrapped(pieces: Vec<&str>, width: usize, cut: bool) -> Vec<String> {
    let is_blank = |piece: &str| piece.trim_matches(is_space).is_empty();
    let length = |text: &str| text.chars().count();
    let (mut lines, mut line) = (Vec::<String>::new(), String::new());
    let mut finish = |line: &mut String| {
        let kept = line.trim_end_matches(is_space).len();
        line.truncate(kept);
        let done = std::mem::take(line);
        if !done.is_empty() {
            lines.push(done);
        }
    };
    let mut first = true;
    for piece in pieces {
        let starts = line.is_empty();
        if starts && is_blank(piece) && !first {
            continue;
        }
        if length(&line) + length(piece) <= width {
            line.push_str(piece);
        } else if length(piece) <= width || !cut {
            finish(&mut line);
            first = false;
            line.push_str(if is_blank(piece) { "" } else { piece });
        } else {
            for character in piece.chars() {
                if length(&line) == width {
                    finish(&mut line);
                    first = false;
                }
                line.push(character);
            }
        }
        first &= line.is_empty();
    }
    finish(&mut line);
    lines
}

/// The text outside tags and comments, with single spaces, and with the five common entities as characters.
fn without_tags(text: &str) -> String {
    let (mut output, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('<') {
        output.push_str(before);
        let end = if after.starts_with("!--") { "-->" } else { ">" };
        let Some((_, after)) = after.split_once(end) else {
            output.push('<');
            rest = after;
            continue;
        };
        rest = after;
    }
    output.push_str(rest);
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#34;", "\""), ("&amp;", "&")];
    let text = words(&output, usize::MAX).join(" ");
    entities.into_iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}

pub(in super::super) fn escaped(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => output.push_str("&amp;"),
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            '\'' => output.push_str("&#39;"),
            '"' => output.push_str("&#34;"),
            other => output.push(other),
        }
    }
    output
}

/// The text as HTML, once.
fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    if value.is_safe() { Ok(value.clone()) } else { Ok(Value::from_safe_string(escaped(&repr::text(state, value)?))) }
}

/// Bytes that a URL holds as they are, besides letters and digits.
const UNCHANGED: &[u8] = b"_.-~";

fn quoted(text: &str, output: &mut String, more: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || UNCHANGED.contains(&byte) || more.contains(&byte) {
            output.push(char::from(byte));
        } else {
            *output += &format!("%{byte:02X}");
        }
    }
}

/// A text for a URL, or the query of a dictionary or of pairs.
fn url_encode(state: &mut State, value: &Value, _: &Arguments) -> Result<Value, Error> {
    let mut output = String::new();
    let pairs: Vec<(Value, Value)> = match pairs(value) {
        Ok(pairs) => pairs.collect(),
        Err(_) if value.as_object().is_some() => {
            let pair = |item: Value| Ok::<_, Error>((item.get_item(&0.into())?, item.get_item(&1.into())?));
            value.try_iter()?.map(pair).collect::<Result<_, _>>()?
        }
        Err(_) => {
            quoted(&repr::text(state, value)?, &mut output, b"/");
            return Ok(output.into());
        }
    };
    for (at, (key, value)) in pairs.iter().enumerate() {
        output.push_str(if at > 0 { "&" } else { "" });
        let mut part = String::new();
        quoted(&repr::text(state, key)?, &mut part, b" ");
        part.push('=');
        quoted(&repr::text(state, value)?, &mut part, b" ");
        output.push_str(&part.replace(' ', "+"));
    }
    Ok(output.into())
}

/// The pairs of a dictionary as attributes of XML, without those of no value.
fn attributes(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let mut output = Vec::new();
    for (key, value) in pairs(value)?.filter(|(_, value)| !value.is_none() && !value.is_undefined()) {
        let (key, value) = (repr::text(state, &key)?, repr::text(state, &value)?);
        if key.contains([' ', '/', '>', '=']) {
            return Err(fault(format!("xmlattr: {key:?} is no name of an attribute")));
        }
        output.push(format!("{}=\"{}\"", escaped(&key), escaped(&value)));
    }
    let space = if output.is_empty() || !arguments.flag_or(0, true) { "" } else { " " };
    Ok(format!("{space}{}", output.join(" ")).into())
}
