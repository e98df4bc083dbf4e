//! Finds the operands of the operators that the template engine does not know or computes in another way: a sign `+`,
//! `%` on text, `~` on what is no text, an order of values that have none, and a loop through none.
//!
//! It reads expressions as jinja2 orders them, and takes any other text: what is wrong, the engine reports.

use super::{
    Edit, ITERATED, ORDERED, PERCENT, TEXTS,
    token::{Kind, Token},
};

/// Deeper brackets are left as they are: the engine refuses them.
const DEEPEST: usize = 200;

/// Words that do not begin an expression.
const JOINING: [&str; 6] = ["if", "else", "in", "and", "or", "is"];

const ORDERS: [&str; 4] = [">=", "<=", ">", "<"];

const COMPARISONS: [&str; 7] = ["==", "!=", ">=", "<=", ">", "<", "in"];

/// The tokens of a tag, and the place in them.
pub(super) struct Operators<'a> {
    inner: &'a str,
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    edits: Vec<Edit>,
}

impl<'a> Operators<'a> {
    pub(super) fn new(inner: &'a str, tokens: &'a [Token]) -> Self {
        Operators { inner, tokens, at: 0, depth: 0, edits: Vec::new() }
    }

    /// The edits of all expressions.
    pub(super) fn edits(mut self, statement: Option<&str>) -> Vec<Edit> {
        if statement == Some("for") {
            self.source();
        }
        self.until("");
        self.edits
    }

    /// Reads expressions and all else, to after this mark or to the end.
    fn until(&mut self, close: &str) {
        while let Some(token) = self.tokens.get(self.at) {
            if token.kind == Kind::Mark && self.word() == close {
                self.at += 1;
                return;
            }
            let before = self.at;
            self.expression();
            if self.at == before {
                self.at += 1;
            }
        }
    }

    /// The text of the token here; empty at the end, and for a literal.
    fn word(&self) -> &'a str {
        let token = self.tokens.get(self.at).filter(|token| token.kind != Kind::Text);
        token.map_or("", |token| &self.inner[token.start..token.end])
    }

    fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn skip(&mut self, words: &[&str]) -> bool {
        let found = words.contains(&self.word());
        self.at += usize::from(found);
        found
    }

    fn expression(&mut self) {
        self.choice();
        while self.skip(&["if", "else"]) {
            self.choice();
        }
    }

    /// What a loop goes through: after the names and `in`.
    fn source(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match &self.inner[token.start..token.end] {
                "(" => depth += 1,
                ")" => depth -= 1,
                "in" if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        let first = self.at;
        self.choice();
        if self.at == first {
            return;
        }
        if self.word() == "," {
            while self.skip(&[","]) {
                self.choice();
            }
            // A tuple needs brackets among arguments.
            self.call("", first);
        }
        self.call(ITERATED, first);
    }

    /// Operands of `or`, `and` and `not`, which do not change.
    fn choice(&mut self) {
        loop {
            while self.skip(&["not"]) {}
            self.comparison();
            if !self.skip(&["or", "and"]) {
                return;
            }
        }
    }

    /// Operands of comparisons. One that asks for an order becomes a call; a row of several stays.
    fn comparison(&mut self) {
        let first = self.at;
        self.sum();
        let mut marks = Vec::new();
        loop {
            let negated = self.word() == "not" && self.inner_word(1) == "in";
            self.at += usize::from(negated);
            let mark = self.at;
            if !self.skip(&COMPARISONS) {
                break;
            }
            let right = self.at;
            self.sum();
            if self.at > right && mark > first {
                marks.push(mark);
            }
        }
        if let [mark] = *marks {
            let token = self.tokens[mark];
            let operator = &self.inner[token.start..token.end];
            if ORDERS.contains(&operator) {
                self.call(ORDERED, first);
                self.edits.push(token.replaced(format!(",'{operator}',")));
            }
        }
    }

    fn inner_word(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |token| &self.inner[token.start..token.end])
    }

    fn sum(&mut self) {
        self.texts();
        while self.skip(&["+", "-"]) {
            self.texts();
        }
    }

    /// Operands of `~`: all of a row become the arguments of one call.
    fn texts(&mut self) {
        let first = self.at;
        self.product();
        let mut marks = Vec::new();
        loop {
            let mark = self.at;
            if !self.skip(&["~"]) {
                break;
            }
            let right = self.at;
            self.product();
            if self.at > right && mark > first {
                marks.push(mark);
            }
        }
        if !marks.is_empty() {
            self.call(TEXTS, first);
            self.edits.extend(marks.into_iter().map(|mark| self.tokens[mark].replaced(",")));
        }
    }

    /// Puts what was read from this token on into the brackets of a call.
    fn call(&mut self, function: &str, first: usize) {
        let (start, end) = (self.tokens[first].start, self.tokens[self.at - 1].end);
        self.edits.push(Edit { start, end: start, text: format!("{function}("), opens: true });
        self.edits.push(Edit { start: end, end, text: ")".into(), opens: false });
    }

    fn product(&mut self) {
        let first = self.at;
        self.power();
        loop {
            let operator = self.at;
            if !self.skip(&["*", "/", "//", "%"]) {
                return;
            }
            let right = self.at;
            self.power();
            let mark = self.tokens[operator];
            if &self.inner[mark.start..mark.end] == "%" && self.at > right && operator > first {
                self.call(PERCENT, first);
                self.edits.push(mark.replaced(","));
            }
        }
    }

    fn power(&mut self) {
        self.operand();
        while self.skip(&["**"]) {
            self.operand();
        }
    }

    /// An operand with its signs, filters and tests.
    fn operand(&mut self) {
        self.value();
        loop {
            if self.skip(&["|"]) {
                self.dotted();
            } else if self.skip(&["is"]) {
                self.skip(&["not"]);
                self.dotted();
                let takes = match self.kind() {
                    Some(Kind::Name) => !JOINING.contains(&self.word()) && self.word() != "not",
                    Some(Kind::Number | Kind::Text) => true,
                    Some(Kind::Mark) => matches!(self.word(), "[" | "{"),
                    None => false,
                };
                if takes {
                    self.value();
                }
            } else {
                return;
            }
        }
    }

    /// The name of a filter or test, and its arguments.
    fn dotted(&mut self) {
        if self.kind() == Some(Kind::Name) {
            self.at += 1;
        }
        while self.skip(&["."]) {
            self.at += usize::from(self.kind() == Some(Kind::Name));
        }
        if self.word() == "(" {
            self.group(")");
        }
    }

    /// A value with its signs, attributes, items and calls.
    fn value(&mut self) {
        while matches!(self.word(), "-" | "+") {
            if self.word() == "+" {
                // Twice the other sign: a text stays an error.
                self.edits.push(self.tokens[self.at].replaced("- -"));
            }
            self.at += 1;
        }
        match self.kind() {
            Some(Kind::Name) if JOINING.contains(&self.word()) => return,
            Some(Kind::Name | Kind::Number) => self.at += 1,
            Some(Kind::Text) => {
                while self.kind() == Some(Kind::Text) {
                    self.at += 1;
                }
            }
            _ => match self.word() {
                "(" => self.group(")"),
                "[" => self.group("]"),
                "{" => self.group("}"),
                _ => return,
            },
        }
        loop {
            match self.word() {
                "." => {
                    self.at += 1;
                    self.at += usize::from(matches!(self.kind(), Some(Kind::Name | Kind::Number)));
                }
                "(" => self.group(")"),
                "[" => self.group("]"),
                _ => return,
            }
        }
    }

    /// What is in brackets; the first bracket is here.
    fn group(&mut self, close: &str) {
        self.at += 1;
        if self.depth < DEEPEST {
            self.depth += 1;
            self.until(close);
            self.depth -= 1;
        }
    }
}
