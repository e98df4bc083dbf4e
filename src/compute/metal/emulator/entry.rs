//! A shader's entry point: its parameters and the sources of their values.

use std::ops::Range;

use super::{
    tokens::{Kind, Token},
    translate::{Complaint, plain, split},
};

/// The source of a parameter's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// A buffer, by number.
    Buffer(usize),
    /// Threadgroup memory.
    Threadgroup,
    /// An expression of the running lane `me`.
    BuiltIn(&'static str),
}

/// A parameter of the entry point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// Its type.
    pub(super) text: String,
    pub(super) source: Source,
}

impl Parameter {
    /// Number and name of a buffer; `None` for other parameters.
    pub(super) fn buffer(&self) -> Option<(usize, String)> {
        match self.source {
            Source::Buffer(at) => Some((at, self.name.clone())),
            _ => None,
        }
    }
}

/// An entry point.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: Vec<Parameter>,
    /// Indices of the tokens of its attributes.
    pub(super) attributes: Vec<usize>,
    /// Indices of its body's tokens.
    pub(super) body: Range<usize>,
}

/// Parameter attributes (MSL 3.1, section 5.2.3.6) and their values in the emulator.
const BUILT_IN: &[(&str, &str)] = &[
    ("threadgroup_position_in_grid", "me->group"),
    ("threadgroups_per_grid", "me->groups"),
    ("thread_index_in_threadgroup", "me->index"),
    ("thread_position_in_threadgroup", "emulator::along(me->index, 0)"),
    ("threads_per_threadgroup", "emulator::along(me->lanes, 1)"),
    ("thread_position_in_grid", "emulator::position(me)"),
    ("threads_per_grid", "(me->groups * emulator::along(me->lanes, 1))"),
    ("thread_index_in_simdgroup", "me->in_simd"),
    ("simdgroup_index_in_threadgroup", "me->in_group"),
    ("threads_per_simdgroup", "32u"),
    ("simdgroups_per_threadgroup", "((me->lanes + 31) / 32)"),
];

impl<'a> Entry<'a> {
    /// Finds the entry point with this name.
    pub(super) fn find(tokens: &[Token<'a>], name: &str) -> Result<Self, Complaint> {
        let solid: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].kind != Kind::Space).collect();
        let text = |index: usize| solid.get(index).map_or("", |at| tokens[*at].text);
        let starts = |at: &usize| text(*at) == "kernel" && tokens[solid[*at]].kind == Kind::Word;
        let named = |start: &usize| {
            let name_at = (*start..solid.len()).find(|at| text(at + 1) == "(" && text(at - 1) == "void");
            name_at.filter(|at| text(*at) == name)
        };
        let Some(name_at) = (0..solid.len()).filter(starts).find_map(|start| named(&start)) else {
            return Err(Complaint { line: 1, what: format!("there is no `kernel void {name}(…)`") });
        };
        let open = solid[name_at + 1];
        let close = matching(tokens, open)?;
        let start = (close..tokens.len()).find(|at| tokens[*at].text == "{").unwrap_or(close);
        let body = start..matching(tokens, start)?;
        let inside = &tokens[open + 1..close];
        let attributes = (open + 1..close).filter(|at| tokens[*at].text == "[" && tokens[at + 1].text == "[").collect();
        let own = |part: &Vec<Token<'a>>| part.iter().any(|token| token.kind != Kind::Space);
        let parts = split(inside);
        let parameters = parts.iter().filter(|part| own(part)).map(|part| parameter(part)).collect::<Result<_, _>>()?;
        Ok(Self { name: tokens[solid[name_at]].text, parameters, attributes, body })
    }
}

/// Index of the bracket that closes the one at `open`.
fn matching(tokens: &[Token<'_>], open: usize) -> Result<usize, Complaint> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "{" | "[" => depth += 1,
            ")" | "}" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(Complaint { line: tokens[open].line, what: format!("`{}` is never closed", tokens[open].text) })
}

/// `device const float* x [[buffer(0)]]`
fn parameter(tokens: &[Token<'_>]) -> Result<Parameter, Complaint> {
    let solid: Vec<_> = tokens.iter().filter(|token| token.kind != Kind::Space).copied().collect();
    let line = solid[0].line;
    let attribute = solid.windows(2).position(|pair| pair[0].text == "[" && pair[1].text == "[");
    let declared = &solid[..attribute.unwrap_or(solid.len())];
    let refuse = |what: String| Complaint { line, what };
    let Some((name, kind)) = declared.split_last().filter(|(name, kind)| name.kind == Kind::Word && !kind.is_empty())
    else {
        return Err(refuse(format!("a parameter without type or name: `{}`", plain(tokens))));
    };
    let words: Vec<_> = attribute.map_or(&[][..], |at| &solid[at + 2..]).iter().map(|token| token.text).collect();
    let source = match words[..] {
        ["buffer", "(", number, ")", ..] => {
            let number = number.parse().ok().filter(|number| *number < 31);
            Source::Buffer(number.ok_or_else(|| refuse(format!("buffers of `{}` are numbered 0 to 30", name.text)))?)
        }
        ["threadgroup", ..] | [] if kind[0].text == "threadgroup" && kind.iter().any(|token| token.text == "&") => {
            Source::Threadgroup
        }
        [attribute, "]", ..] => {
            let known = BUILT_IN.iter().find(|(known, _)| *known == attribute);
            let unknown = || refuse(format!("the emulator lacks the attribute of `{}`: [[{attribute}]]", name.text));
            Source::BuiltIn(known.ok_or_else(unknown)?.1)
        }
        _ => return Err(refuse(format!("`{}` has no attribute that gives its value", name.text))),
    };
    let text = kind.iter().map(|token| token.text).collect::<Vec<_>>().join(" ");
    Ok(Parameter { name: name.text.to_owned(), text, source })
}
