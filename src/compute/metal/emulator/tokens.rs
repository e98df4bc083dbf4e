//! Splits a shader text into words, punctuation and space, without loss.

/// The kind of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number, a string, or a character.
    Literal,
    /// One character of punctuation, or `::`.
    Mark,
    /// Space, comments, and preprocessor lines.
    Space,
}

/// A token, with its first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// The tokens of a text; joined, they equal the text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut at, mut line, mut fresh) = (Vec::new(), 0, 1, true);
    while at < text.len() {
        let rest = &text[at..];
        let (kind, length) = first(rest, fresh);
        let token = &rest[..length];
        found.push(Token { kind, text: token, line });
        let lines = token.matches('\n').count();
        fresh = if kind == Kind::Space { fresh || lines > 0 } else { false };
        line += lines;
        at += length;
    }
    found
}

/// Kind and length of the first token of a nonempty text; `fresh` if only space precedes it on its line.
fn first(rest: &str, fresh: bool) -> (Kind, usize) {
    let end_where = |stop: fn(char) -> bool| rest.find(stop).unwrap_or(rest.len());
    let c = rest.chars().next().unwrap_or(' ');
    if let Some(length) = space(rest, fresh) {
        return (Kind::Space, length);
    }
    if c.is_ascii_alphabetic() || c == '_' {
        return (Kind::Word, end_where(|c| !c.is_ascii_alphanumeric() && c != '_'));
    }
    if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit())) {
        return (Kind::Literal, number(rest));
    }
    if c == '"' || c == '\'' {
        return (Kind::Literal, quoted(rest, c));
    }
    (Kind::Mark, if rest.starts_with("::") { 2 } else { c.len_utf8() })
}

/// Length of the space, comment or preprocessor line at the start of `rest`; `None` for other tokens.
fn space(rest: &str, fresh: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if fresh && rest.starts_with('#') {
        let (mut end, mut continued) = (0, true);
        for line in rest.split_inclusive('\n') {
            if !continued {
                break;
            }
            continued = line.trim_end().ends_with('\\');
            end += line.len();
        }
        return Some(end);
    }
    let end = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
    (end > 0).then_some(end)
}

/// Length of a number with its suffix; an exponent may have a sign.
fn number(rest: &str) -> usize {
    let mut before = ' ';
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    let goes_on = |(_, c): &(usize, char)| {
        let exponent = matches!((hex, before), (false, 'e' | 'E') | (true, 'p' | 'P'));
        let part = c.is_ascii_alphanumeric() || *c == '.' || (exponent && matches!(c, '+' | '-'));
        before = *c;
        part
    };
    rest.char_indices().take_while(goes_on).last().map_or(1, |(at, c)| at + c.len_utf8())
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_put_together_are_the_text() {
        let text =
            "#define A(x) \\\n  x\nfloat a = -1.5e-3f; // note\n/* two\nlines */ b::c(\"s\\\"\", 'x', 0x1p+2, .5h);\n";
        let found = tokens(text);
        assert_eq!(found.iter().map(|token| token.text).collect::<String>(), text);
        let told = |kind| found.iter().filter(|t| t.kind == kind).map(|t| (t.text, t.line)).collect::<Vec<_>>();
        assert_eq!(told(Kind::Word), [("float", 3), ("a", 3), ("b", 5), ("c", 5)]);
        let literals = [("1.5e-3f", 3), ("\"s\\\"\"", 5), ("'x'", 5), ("0x1p+2", 5), (".5h", 5)];
        assert_eq!(told(Kind::Literal), literals);
    }
}
