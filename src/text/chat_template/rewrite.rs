//! Rewrites a template so that the template engine reads it as jinja2 does. Every line keeps its number.
//!
//! The engine's own grammar differs in a few points. Line ends are normalized here. A backslash in a literal means
//! what it means in Python. Operators that the engine computes in another way become calls of functions. A
//! `{% generation %}` becomes a plain scope, and a raw block keeps its first line end.

mod literal;
mod operators;
mod token;

use operators::Operators;
use token::{Kind, Token, Tokens};

/// The function that computes `a % b`. No template can mean another one by this name.
pub(super) const PERCENT: &str = "_percent_of_python";

/// The function that computes `a ~ b ~ c`.
pub(super) const TEXTS: &str = "_texts_of_python";

/// The function that computes `a < b` and the like.
pub(super) const ORDERED: &str = "_order_of_python";

/// The function that checks what a loop goes through.
pub(super) const ITERATED: &str = "_items_of_python";

/// White space for Python, but not for Rust.
const SEPARATORS: std::ops::RangeInclusive<char> = '\u{1c}'..='\u{1f}';

/// What is wrong in a template, and the line.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: String,
}

/// The rewritten template.
pub(super) fn rewrite(source: &str) -> Result<String, Fault> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut output = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(begin) = tag(rest) {
        let at = source.len() - rest.len() + begin;
        let (text, tag) = rest.split_at(begin);
        let (marker, inner) = tag.split_at(2);
        output.push_str(text);
        if inner.starts_with('-') {
            strip_end(&mut output);
        }
        output.push_str(marker);
        let length = if marker == "{#" {
            let end = inner.find("#}").map_or(inner.len(), |end| end + 2);
            output.push_str(&inner[..end]);
            end
        } else {
            let fault = |what| Fault { line: 1 + source[..at].matches('\n').count(), what };
            match Tokens::read(inner, marker == "{%") {
                Some(tokens) => write_tag(inner, &tokens, &mut output).map_err(fault)?,
                // The engine says what is wrong.
                None => return Ok(output + inner),
            }
        };
        rest = &inner[length..];
        if inner[..length].trim_end_matches(['%', '}', '#']).ends_with('-') {
            rest = strip_start(rest, &mut output);
        }
    }
    Ok(output + rest)
}

/// The place of the next tag or comment.
fn tag(text: &str) -> Option<usize> {
    let starts = text.match_indices('{').map(|(at, _)| at);
    starts.into_iter().find(|at| text[at + 1..].starts_with(['{', '%', '#']))
}

/// Writes a tag after its marker, and returns the length that it had.
fn write_tag(inner: &str, tokens: &Tokens, output: &mut String) -> Result<usize, String> {
    let statement = tokens.statement(inner);
    if statement == Some("raw") {
        return Ok(write_raw(inner, tokens.end, output));
    }
    let mut edits = Vec::new();
    match statement {
        Some("generation") => edits.push(tokens.list[0].replaced("with")),
        Some("endgeneration") => edits.push(tokens.list[0].replaced("endwith")),
        _ => {}
    }
    for token in tokens.list.iter().filter(|token| token.kind == Kind::Text) {
        edits.extend(literal::rewritten(&inner[token.start..token.end])?.map(|text| token.replaced(text)));
    }
    let skip = usize::from(statement.is_some());
    edits.extend(Operators::new(inner, tokens.list.get(skip..).unwrap_or_default()).edits(statement));
    apply(&inner[..tokens.end], edits, output);
    Ok(tokens.end)
}

/// Writes a raw block from after its first marker, and returns its length.
fn write_raw(inner: &str, end: usize, output: &mut String) -> usize {
    let begin = &inner[..end];
    let bare = begin.strip_suffix("%}").unwrap_or(begin);
    output.push_str(bare);
    if !bare.ends_with(['-', '+']) {
        output.push('+');
    }
    output.push_str("%}");
    let body = &inner[end..];
    let tags = body.match_indices("{%").map(|(at, _)| at);
    let is_end = |at: &usize| body[at + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw");
    let close = tags.into_iter().find(is_end).and_then(|at| Some(at + body[at..].find("%}")? + 2));
    let length = close.unwrap_or(body.len());
    output.push_str(&body[..length]);
    end + length
}

/// A piece of a tag with another text.
struct Edit {
    start: usize,
    end: usize,
    text: String,
    /// Whether it opens a call: then of two at the same place the later one comes first.
    opens: bool,
}

impl Token {
    fn replaced(&self, text: impl Into<String>) -> Edit {
        Edit { start: self.start, end: self.end, text: text.into(), opens: false }
    }
}

fn apply(text: &str, edits: Vec<Edit>, output: &mut String) {
    let mut order: Vec<(usize, Edit)> = edits.into_iter().enumerate().collect();
    order.sort_by_key(|(number, edit)| {
        let number = if edit.opens { -(*number as i64) } else { *number as i64 };
        // What is inserted at a place comes before what replaces the text there.
        (edit.start, edit.end > edit.start, number)
    });
    let mut done = 0;
    for (_, edit) in order {
        output.push_str(&text[done.min(edit.start)..edit.start]);
        output.push_str(&edit.text);
        done = edit.end.max(done);
    }
    output.push_str(&text[done..]);
}

/// Removes separators from the white space at the end of a text, before a tag that strips it.
fn strip_end(output: &mut String) {
    let kept = output.trim_end_matches(|c: char| c.is_whitespace() || SEPARATORS.contains(&c)).len();
    let space: String = output.drain(kept..).filter(|c| !SEPARATORS.contains(c)).collect();
    output.push_str(&space);
}

/// The same at the beginning of a text, after a tag that strips it.
fn strip_start<'a>(rest: &'a str, output: &mut String) -> &'a str {
    let after = rest.trim_start_matches(|c: char| c.is_whitespace() || SEPARATORS.contains(&c));
    output.extend(rest[..rest.len() - after.len()].chars().filter(|c| !SEPARATORS.contains(c)));
    after
}
