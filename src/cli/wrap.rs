//! Breaks lines of a text for a terminal between words, as it comes. Lines of code stay whole.

use std::borrow::Cow;
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(windows)]
use std::os::windows::io::AsHandle;

use terminal_size::terminal_size_of;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const FENCE: &str = "```";

/// A place on a terminal's line.
pub struct Wrap {
    /// Columns of the terminal; 0 for lines that are not broken.
    width: usize,
    column: usize,
    /// Spaces and the word after them, which may not fit on the line any more.
    spaces: String,
    word: String,
    /// Whether the text is within a block of code.
    is_code: bool,
}

impl Wrap {
    /// At the beginning of a line of so many columns; 0 breaks none.
    pub fn new(width: usize) -> Self {
        Self { width, column: 0, spaces: String::new(), word: String::new(), is_code: false }
    }

    /// Takes a piece of a text from elsewhere, whose control characters a terminal must not obey.
    pub fn push_harmless(&mut self, piece: &str) -> String {
        if self.width == 0 { piece.into() } else { self.push(&harmless(piece)) }
    }

    /// Takes a piece of text; returns what can be shown of it.
    pub fn push(&mut self, piece: &str) -> String {
        if self.width == 0 {
            return piece.into();
        }
        let mut shown = String::new();
        for character in piece.chars() {
            match character {
                '\n' => {
                    shown += &self.finish();
                    shown.push('\n');
                    self.column = 0;
                }
                ' ' => {
                    shown += &self.flush();
                    self.spaces.push(' ');
                }
                _ => {
                    self.word.push(character);
                    // Scripts without spaces have wide characters, after each of which a line may end.
                    if character.width() == Some(2) {
                        shown += &self.flush();
                    }
                }
            }
        }
        shown
    }

    /// What is left at the end of the text.
    pub fn finish(&mut self) -> String {
        let shown = self.flush();
        shown + &std::mem::take(&mut self.spaces)
    }

    /// The spaces and the word, on this line or on a new one.
    fn flush(&mut self) -> String {
        if self.word.is_empty() {
            return String::new();
        }
        if self.column == 0 && self.word.starts_with(FENCE) {
            self.is_code = !self.is_code;
        }
        let (spaces, word) = (std::mem::take(&mut self.spaces), std::mem::take(&mut self.word));
        let (gap, length) = (spaces.len(), visible(&word));
        let is_over = self.column + gap + length > self.width;
        if is_over && !self.is_code && self.column > 0 && length <= self.width {
            self.column = length;
            return format!("\n{word}");
        }
        self.column += gap + length;
        spaces + &word
    }
}

/// A text whose control characters are visible, but for tabs and line ends: a terminal would obey them.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_control = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(is_control) {
        return text.into();
    }
    // Unicode has pictures of the control characters of ASCII.
    let shown = |character: char| match u32::from(character) {
        code @ 0..0x20 if is_control(character) => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ if is_control(character) => '\u{fffd}',
        _ => character,
    };
    text.chars().map(shown).collect()
}

/// Columns of a word, without its colors.
fn visible(word: &str) -> usize {
    let mut parts = word.split('\u{1b}');
    let first = parts.next().unwrap_or_default().width();
    first + parts.map(|part| part.split_once('m').map_or(part, |(_, rest)| rest).width()).sum::<usize>()
}

/// Columns of the terminal that shows a stream; 0 without one.
#[cfg(unix)]
pub fn columns(stream: impl AsFd) -> usize {
    terminal_size_of(stream).map_or(0, |(width, _)| width.0.into())
}

/// Columns of the terminal that shows a stream; 0 without one.
#[cfg(windows)]
pub fn columns(stream: impl AsHandle) -> usize {
    terminal_size_of(stream).map_or(0, |(width, _)| width.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_no_text() {
        assert_eq!(harmless("a\tb\n"), "a\tb\n");
        assert_eq!(harmless("\u{1b}]0;x\u{7}\r\u{7f}\u{9b}"), "\u{241b}]0;x\u{2407}\u{240d}\u{2421}\u{fffd}");
    }

    #[test]
    fn colors_take_no_columns() {
        assert_eq!(["plain", "\u{1b}[2mdim\u{1b}[0m", "\u{1b}[1;31m"].map(visible), [5, 3, 0]);
    }

    fn wrapped(text: &str, width: usize, size: usize) -> String {
        let characters: Vec<_> = text.chars().collect();
        let mut wrap = Wrap::new(width);
        let mut shown: String =
            characters.chunks(size).map(|piece| wrap.push(&piece.iter().collect::<String>())).collect();
        shown += &wrap.finish();
        shown
    }

    #[test]
    fn lines_break_between_words_however_the_text_arrives() {
        let cases = [
            ("the quick brown fox", "the quick\nbrown fox"),
            ("a  b\n  indented", "a  b\n  indented"),
            ("unbreakablewords are", "unbreakablewords\nare"),
            ("```\nlet x = long_code_line;\n```\nand on we go", "```\nlet x = long_code_line;\n```\nand on we\ngo"),
            ("日本語の文章です", "日本語の文\n章です"),
            ("ends with space ", "ends with\nspace "),
        ];
        for (text, want) in cases {
            for size in [1, 3, 100] {
                assert_eq!(wrapped(text, 10, size), want, "{text:?} by {size}");
            }
        }
        assert_eq!(wrapped("the quick brown fox", 0, 4), "the quick brown fox");
    }
}
