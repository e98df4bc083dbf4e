//! The tokens of one tag.

/// The kind of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Name,
    Number,
    /// A literal text with its quotes.
    Text,
    /// An operator, a bracket or another mark.
    Mark,
}

/// A token: its kind, and its place in the tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The tokens of a tag, and the end of the tag.
pub(super) struct Tokens {
    pub(super) list: Vec<Token>,
    pub(super) end: usize,
    is_block: bool,
}

const PAIRS: [&str; 6] = ["//", "**", "==", "!=", ">=", "<="];

impl Tokens {
    /// Reads a tag from after its marker. `None` if the tag or a literal has no end.
    pub(super) fn read(inner: &str, is_block: bool) -> Option<Tokens> {
        let close = if is_block { "%}" } else { "}}" };
        let mut list = Vec::new();
        let mut depth = 0_usize;
        // A sign right after the marker is about white space.
        let mut at = usize::from(inner.starts_with(['-', '+']));
        loop {
            let rest = &inner[at..];
            let first = rest.chars().next()?;
            let signed = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if depth == 0 && signed.starts_with(close) {
                return Some(Tokens { list, end: at + rest.len() - signed.len() + close.len(), is_block });
            }
            let (kind, length) = match first {
                _ if first.is_whitespace() => {
                    at += first.len_utf8();
                    continue;
                }
                '\'' | '"' => (Kind::Text, text(rest)?),
                '0'..='9' => (Kind::Number, number(rest, inner[..at].ends_with('.'))),
                _ if is_word(first) => (Kind::Name, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
                _ if PAIRS.iter().any(|pair| rest.starts_with(pair)) => (Kind::Mark, 2),
                _ => (Kind::Mark, first.len_utf8()),
            };
            match first {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            list.push(Token { kind, start: at, end: at + length });
            at += length;
        }
    }

    /// The word that names a statement, if the tag is one.
    pub(super) fn statement<'a>(&self, inner: &'a str) -> Option<&'a str> {
        let first = self.list.first().filter(|token| self.is_block && token.kind == Kind::Name)?;
        Some(&inner[first.start..first.end])
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of a literal, with its quotes.
fn text(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices();
    let (_, quote) = characters.next()?;
    loop {
        match characters.next()? {
            (at, end) if end == quote => return Some(at + 1),
            (_, '\\') => drop(characters.next()?),
            _ => {}
        }
    }
}

/// The length of a number. After a dot it is an index, which has no fraction.
fn number(rest: &str, is_index: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let next = bytes.get(length + 1).copied().unwrap_or_default();
        let continues = match byte {
            b'.' => !is_index && next.is_ascii_digit(),
            b'+' | b'-' => {
                let scientific = matches!(bytes[length - 1], b'e' | b'E') && !rest.starts_with("0x");
                scientific && !is_index && next.is_ascii_digit()
            }
            _ => byte.is_ascii_alphanumeric() || *byte == b'_',
        };
        if !continues {
            break;
        }
        length += 1;
    }
    length
}
