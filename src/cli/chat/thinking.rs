//! Tells a model's thinking from its answer, in text that arrives in pieces.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A part of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// A thought.
    Thought(String),
    /// A part of the answer.
    Answer(String),
}

/// Where the text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Only space so far: a thought may still begin.
    Begin,
    Thought,
    Answer,
}

/// Splits a text at its tags, which belong to neither part. Only the beginning of a text can be a thought.
pub struct Thinking {
    state: State,
    /// Text that may be the beginning of a tag.
    held: String,
}

impl Thinking {
    /// `began` says whether the prompt has already begun a thought.
    pub fn new(began: bool) -> Self {
        Self { state: if began { State::Thought } else { State::Begin }, held: String::new() }
    }

    /// Whether the text is within a thought.
    pub fn is_thought(&self) -> bool {
        self.state == State::Thought
    }

    /// Takes a piece; returns the parts that are certain.
    pub fn push(&mut self, piece: &str) -> Vec<Part> {
        let mut text = std::mem::take(&mut self.held) + piece;
        let mut parts = Vec::new();
        if self.state == State::Begin {
            let begin = text.trim_start();
            if let Some(thought) = begin.strip_prefix(OPEN) {
                (self.state, text) = (State::Thought, thought.into());
            } else if OPEN.starts_with(begin) {
                self.held = text;
                return parts;
            } else {
                self.state = State::Answer;
            }
        }
        if self.state == State::Thought {
            match text.split_once(CLOSE) {
                Some((thought, answer)) => {
                    parts.push(Part::Thought(thought.into()));
                    (self.state, text) = (State::Answer, answer.into());
                }
                None => {
                    self.held = text.split_off(text.len() - begun(&text));
                    parts.push(Part::Thought(text));
                    text = String::new();
                }
            }
        }
        parts.push(Part::Answer(text));
        parts.retain(|part| matches!(part, Part::Thought(text) | Part::Answer(text) if !text.is_empty()));
        parts
    }

    /// What was held back, at the end of the text.
    pub fn finish(&mut self) -> Option<Part> {
        let held = std::mem::take(&mut self.held);
        let part = if self.is_thought() { Part::Thought } else { Part::Answer };
        (!held.is_empty()).then(|| part(held))
    }
}

/// How many bytes at the end of a text begin the closing tag.
fn begun(text: &str) -> usize {
    (1..CLOSE.len()).rev().find(|length| text.ends_with(&CLOSE[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thought and answer of a text that arrives in pieces of so many bytes.
    fn parts(text: &str, size: usize, began: bool) -> (String, String) {
        let mut thinking = Thinking::new(began);
        let pieces = text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).expect("the cases are ASCII"));
        let mut found: Vec<_> = pieces.flat_map(|piece| thinking.push(piece)).collect();
        found.extend(thinking.finish());
        let (mut thought, mut answer) = (String::new(), String::new());
        for part in found {
            match part {
                Part::Thought(text) => thought += &text,
                Part::Answer(text) => answer += &text,
            }
        }
        (thought, answer)
    }

    #[test]
    fn tags_are_found_however_the_text_is_split() {
        let cases = [
            ("<think>\na < b</think>\n\nYes.", false, "\na < b", "\n\nYes."),
            ("\n<think>a</think>b<think>c</think>", false, "a", "b<think>c</think>"),
            ("a</think>b", true, "a", "b"),
            ("no <think> tag", false, "", "no <think> tag"),
            ("<thin", false, "", "<thin"),
            ("never closed</thi", true, "never closed</thi", ""),
        ];
        for (text, began, thought, answer) in cases {
            for size in 1..=text.len() {
                assert_eq!(parts(text, size, began), (thought.into(), answer.into()), "{text:?} by {size}");
            }
        }
    }
}
