//! Translates the Metal Shading Language to C++ that clang compiles with the shim. Lines stay aligned, so messages
//! refer to the shader's own lines.
//!
//! Rewritten are vector constructors, the entry point's parameters, and threadgroup memory of the entry point. Unknown
//! constructs are errors.

use std::{collections::BTreeSet, fmt};

use super::{
    entry::{Entry, Parameter, Source},
    tokens::{Kind, Token, tokens},
};

/// The purpose of a translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To run it.
    Run,
    /// To check it with a compiler that knows address spaces.
    Strict,
}

/// An error in a text, with its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Complaint {
    pub(super) line: usize,
    pub(super) what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A shader in C++.
pub(super) struct Translation {
    pub(super) text: String,
    /// Numbers and names of its buffers.
    pub(super) buffers: Vec<(usize, String)>,
    /// Names of its threadgroup variables.
    pub(super) shared: Vec<String>,
    /// Whether a parameter is an array of unknown length, declared with one element.
    pub(super) open_arrays: bool,
}

const ELEMENTS: &[&str] =
    &["bool", "char", "uchar", "short", "ushort", "int", "uint", "long", "ulong", "half", "bfloat", "float"];
pub(super) const SPACES: &[&str] = &["device", "threadgroup", "thread", "constant"];
/// C++ keywords that MSL forbids (MSL 3.1, section 1.4.4), and types that it lacks.
const REFUSED: &[&str] = &[
    "double",
    "goto",
    "new",
    "delete",
    "virtual",
    "dynamic_cast",
    "typeid",
    "throw",
    "try",
    "catch",
    "thread_local",
    "register",
    "asm",
    "noexcept",
];
/// OpenCL keywords that are not MSL's.
const OPENCL: &[&str] =
    &["local", "global", "private", "generic", "pipe", "event_t", "queue_t", "read_only", "write_only"];
/// Attributes without effect here.
const IGNORED: &[&str] = &["max_total_threads_per_threadgroup", "host_name", "maybe_unused", "unroll"];

/// Translates a text.
///
/// # Errors
/// Constructs that the emulator does not know, or that are not MSL.
pub(super) fn translate(text: &str, name: &str, purpose: Purpose) -> Result<Translation, Complaint> {
    let tokens = tokens(text);
    let entry = Entry::find(&tokens, name)?;
    let types = constructed(&tokens);
    let mut writer = Writer { tokens: &tokens, types, purpose, entry: &entry, shared: Vec::new(), text: String::new() };
    writer.text.push_str("#line 1 \"shader\"\n");
    writer.write()?;
    if purpose == Purpose::Run {
        let call = call(&entry, &mut writer.shared);
        writer.text.push_str(&call);
    }
    let buffers = entry.parameters.iter().filter_map(Parameter::buffer).collect();
    let Writer { text, shared, .. } = writer;
    Ok(Translation { text, buffers, shared, open_arrays: open_arrays(&tokens) })
}

/// The C++ function that a lane starts with.
fn call(entry: &Entry<'_>, shared: &mut Vec<String>) -> String {
    let mut arguments = Vec::new();
    for parameter in &entry.parameters {
        let kind = parameter.text.replace('&', "*");
        let star = if parameter.text.contains('&') { "*" } else { "" };
        arguments.push(match &parameter.source {
            Source::Buffer(at) => format!("{star}({kind})buffers[{at}]"),
            Source::Threadgroup => {
                shared.push(parameter.name.clone());
                format!("emulator::shared<{}>({})", parameter.text.replace('&', ""), shared.len() - 1)
            }
            Source::BuiltIn(value) => format!("metal::make_one<{}>({value})", parameter.text),
        });
    }
    let body = format!("emulator::Lane* me = emulator::lane(); (void)me; {}({});", entry.name, arguments.join(", "));
    format!("\nextern \"C\" void emulator_entry(void* const* buffers) {{ (void)buffers; {body} }}\n")
}

/// Whether an array type of one element stands for any length, as in naga's output.
fn open_arrays(tokens: &[Token<'_>]) -> bool {
    let solid: Vec<_> = tokens.iter().filter(|token| token.kind != Kind::Space).map(|token| token.text).collect();
    solid.windows(6).any(|w| w[0] == "typedef" && w[3..] == ["[", "1", "]"])
}

/// Names that may construct vectors: vector types, aliases, and template parameters.
fn constructed<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let solid: Vec<_> = tokens.iter().filter(|token| token.kind != Kind::Space).collect();
    let mut found: BTreeSet<_> = solid.iter().map(|token| token.text).filter(|text| is_vector(text)).collect();
    for (at, token) in solid.iter().enumerate() {
        let word = |at: usize| solid.get(at).filter(|token| token.kind == Kind::Word).map(|token| token.text);
        let named = match token.text {
            "typedef" => {
                let end = solid[at..].iter().position(|token| token.text == ";").map_or(at, |end| at + end);
                word(end.saturating_sub(1))
            }
            "using" if solid.get(at + 2).is_some_and(|token| token.text == "=") => word(at + 1),
            "typename" | "class" if at > 0 && matches!(solid[at - 1].text, "<" | ",") => word(at + 1),
            _ => None,
        };
        found.extend(named);
    }
    found
}

fn is_vector(name: &str) -> bool {
    let element = name.strip_prefix("packed_").unwrap_or(name).strip_suffix(['2', '3', '4']);
    element.is_some_and(|element| ELEMENTS.contains(&element))
}

struct Writer<'a> {
    tokens: &'a [Token<'a>],
    types: BTreeSet<&'a str>,
    purpose: Purpose,
    entry: &'a Entry<'a>,
    /// Threadgroup variables declared so far.
    shared: Vec<String>,
    text: String,
}

impl Writer<'_> {
    fn write(&mut self) -> Result<(), Complaint> {
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.token(at)?;
        }
        Ok(())
    }

    /// Writes the token at index `at` and the tokens that belong to it; returns the index of the next one.
    fn token(&mut self, at: usize) -> Result<usize, Complaint> {
        let token = self.tokens[at];
        let refuse = |what: String| Err(Complaint { line: token.line, what });
        let solid = |text: &str| token.kind == Kind::Mark && token.text == text;
        if solid("[") && self.next(at + 1) == Some("[") {
            return self.attribute(at);
        }
        if token.kind == Kind::Word && REFUSED.contains(&token.text) {
            return refuse(format!("`{}` is no word of the Metal Shading Language", token.text));
        }
        if solid("(") && self.is_cast(at) {
            return refuse("a vector is converted by T(x), which is the same on a GPU and here, not by (T)x".into());
        }
        if self.purpose == Purpose::Strict && self.is_bare_pointer(at) {
            return refuse(format!("a pointer or reference to `{}` without an address space", token.text));
        }
        if solid("[") && self.is_lambda(at) {
            return refuse("a lambda expression, which the Metal Shading Language does not have".into());
        }
        if token.text == "vec" && self.next(at + 1) == Some("<") {
            let end = self.find(at, ">")?;
            let name = plain(&self.tokens[at..=end]);
            self.text.push_str(&if self.next(end + 1) == Some("(") { format!("make<{name}>") } else { name });
            return Ok(end + 1);
        }
        if token.kind == Kind::Word && self.types.contains(token.text) && self.constructs(at) {
            self.text.push_str(&format!("make<{}>", token.text));
            return Ok(at + 1);
        }
        if token.text == "threadgroup" && token.kind == Kind::Word && self.starts_statement(at) {
            let end = self.find(at, ";")?;
            let declared = self.tokens[at..end].iter().take_while(|token| !matches!(token.text, "=" | "["));
            if !declared.into_iter().any(|token| matches!(token.text, "*" | "&")) {
                return self.group_memory(at, end);
            }
        }
        if token.kind == Kind::Word && self.purpose == Purpose::Strict && OPENCL.contains(&token.text) {
            self.text.push('_');
        }
        self.text.push_str(token.text);
        Ok(at + 1)
    }

    /// Skips an attribute; unknown ones are errors.
    fn attribute(&mut self, at: usize) -> Result<usize, Complaint> {
        let end = self.find(at, "]")? + 1;
        let known = self.entry.attributes.contains(&at);
        let name = self.tokens[at..end].iter().find(|token| token.kind == Kind::Word).map_or("", |token| token.text);
        if !known && !IGNORED.contains(&name) {
            let what = format!("the attribute `{name}` is not known to the emulator");
            return Err(Complaint { line: self.tokens[at].line, what });
        }
        Ok(end + 1)
    }

    /// `threadgroup T name[N], other;`
    fn group_memory(&mut self, at: usize, end: usize) -> Result<usize, Complaint> {
        let line = self.tokens[at].line;
        if !self.entry.body.contains(&at) {
            let what = "threadgroup memory is declared in the kernel function; others are given pointers to it".into();
            return Err(Complaint { line, what });
        }
        let parts = split(&self.tokens[at + 1..end]);
        let first = &parts[0];
        let bracket = first.iter().position(|token| token.text == "[").unwrap_or(first.len());
        let Some(name_at) = first[..bracket].iter().rposition(|token| token.kind == Kind::Word) else {
            return Err(Complaint { line, what: "a declaration without a name".into() });
        };
        let kind = plain(&first[..name_at]);
        for (index, part) in parts.iter().enumerate() {
            let own = if index == 0 { &part[name_at..] } else { &part[..] };
            let Some(name_at) = own.iter().position(|token| token.kind == Kind::Word) else {
                return Err(Complaint { line, what: "a declaration without a name".into() });
            };
            let (name, sizes) = (own[name_at].text, plain(&own[name_at + 1..]));
            if sizes.contains('=') || sizes.contains('{') {
                return Err(Complaint {
                    line,
                    what: format!("threadgroup memory `{name}` with a value to begin with"),
                });
            }
            self.text.push_str(&match self.purpose {
                Purpose::Strict => format!("threadgroup {kind} {name}{sizes};"),
                Purpose::Run => {
                    let memory = format!("typedef {kind} emulated_{name}{sizes}; emulated_{name}& {name} =");
                    format!("{memory} emulator::shared<emulated_{name}>({});", self.shared.len())
                }
            });
            self.shared.push(name.to_owned());
        }
        let lines: usize = self.tokens[at..end].iter().map(|token| token.text.matches('\n').count()).sum();
        self.text.push_str(&"\n".repeat(lines));
        Ok(end + 1)
    }

    /// The text of the first non-space token from index `at` on.
    fn next(&self, at: usize) -> Option<&str> {
        self.tokens[at..].iter().find(|token| token.kind != Kind::Space).map(|token| token.text)
    }

    /// The last non-space token before index `at`.
    fn before(&self, at: usize) -> Option<Token<'_>> {
        self.tokens[..at].iter().rev().find(|token| token.kind != Kind::Space).copied()
    }

    fn find(&self, at: usize, mark: &str) -> Result<usize, Complaint> {
        let found = self.tokens[at..].iter().position(|token| token.kind == Kind::Mark && token.text == mark);
        let missing = || Complaint { line: self.tokens[at].line, what: format!("no `{mark}` follows") };
        found.map(|offset| at + offset).ok_or_else(missing)
    }

    fn starts_statement(&self, at: usize) -> bool {
        self.before(at).is_some_and(|token| matches!(token.text, "{" | "}" | ";"))
    }

    /// Whether a type name is followed by constructor arguments, outside a declaration such as
    /// `thread float4 (&sums)[4]`.
    fn constructs(&self, at: usize) -> bool {
        let declares = |token: Token<'_>| SPACES.contains(&token.text) || token.text == "const";
        self.next(at + 1) == Some("(") && !self.before(at).is_some_and(declares)
    }

    /// Whether a type is followed by `*` or `&` without an address space before it (MSL 3.1, section 4).
    fn is_bare_pointer(&self, at: usize) -> bool {
        let token = self.tokens[at];
        let record = || self.tokens.windows(3).any(|w| w[0].text == "struct" && w[2].text == token.text);
        let known = || self.types.contains(token.text) || ELEMENTS.contains(&token.text) || record();
        if token.kind != Kind::Word || !matches!(self.next(at + 1), Some("*" | "&")) || !known() {
            return false;
        }
        let before = self.tokens[..at].iter().rev();
        let declared = before.take_while(|token| !matches!(token.text, "(" | "," | ";" | "{" | "}" | "<"));
        !declared.into_iter().any(|token| SPACES.contains(&token.text))
    }

    /// Whether a bracket stands where it cannot index an array.
    fn is_lambda(&self, at: usize) -> bool {
        let indexed = |token: Token<'_>| {
            token.kind != Kind::Mark && token.text != "return" || matches!(token.text, "]" | ")" | ">" | "&")
        };
        !self.before(at).is_some_and(indexed)
    }

    /// Whether a cast such as `(float4)x` follows.
    fn is_cast(&self, at: usize) -> bool {
        let mut solid = self.tokens[at + 1..].iter().filter(|token| token.kind != Kind::Space);
        let vector = solid.next().is_some_and(|token| is_vector(token.text));
        let closed = solid.next().is_some_and(|token| token.text == ")");
        let value = solid.next().is_some_and(|token| token.kind != Kind::Mark || token.text == "(");
        let called = self.before(at).is_some_and(|token| {
            (token.kind == Kind::Word && token.text != "return") || matches!(token.text, ">" | "]" | ")")
        });
        vector && closed && value && !called
    }
}

/// Splits tokens at commas outside brackets.
pub(super) fn split<'a>(tokens: &[Token<'a>]) -> Vec<Vec<Token<'a>>> {
    let (mut parts, mut depth) = (vec![Vec::new()], 0);
    for token in tokens {
        match token.text {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            _ => {}
        }
        if token.text == "," && depth == 0 {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(*token);
        }
    }
    parts
}

/// Tokens as one line of text.
pub(super) fn plain(tokens: &[Token<'_>]) -> String {
    let text: Vec<_> = tokens.iter().map(|t| if t.kind == Kind::Space { " " } else { t.text }).collect();
    text.concat().trim().to_owned()
}
