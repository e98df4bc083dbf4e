//! Where a generation ends: stop ids and stop strings. Knows no model and no sampling.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::{Error, Result, text::tokenizer::Tokenizer};

/// The stop ids and stop strings of a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    /// Ids that end the text; the text excludes them.
    pub ids: BTreeSet<u32>,
    /// Strings that end the text. The text excludes them and everything after them.
    pub strings: Vec<String>,
}

impl Stop {
    /// The stop ids of every chat model of this family, independent of its files: `<|im_end|>` and `<|endoftext|>`.
    pub fn of(tokenizer: &Tokenizer) -> Stop {
        let ids = ["<|im_end|>", "<|endoftext|>"].iter().filter_map(|token| tokenizer.id_of(token)).collect();
        Stop { ids, strings: Vec::new() }
    }

    /// Adds the stop ids of one of the model's files: `eos_token_id` (an id, a list or null; also inside `text_config`)
    /// and `eos_token` (a string or an added token).
    ///
    /// Reads config.json, generation_config.json and tokenizer_config.json alike, since they often differ. A duplicate
    /// stop id is harmless; a missing one lets a generation run on.
    ///
    /// # Errors
    /// [`Error::Format`] for an `eos_token_id` of another type.
    pub fn add_from(&mut self, json: &Value, file: &Path, tokenizer: &Tokenizer) -> Result<()> {
        for holder in [Some(json), json.get("text_config")].into_iter().flatten() {
            for id in ids(holder.get("eos_token_id").unwrap_or(&Value::Null), file)? {
                if id as usize >= tokenizer.vocabulary() {
                    log::warn!("{}: eos_token_id {id} is no token of the vocabulary, and ends no text", file.display());
                }
                self.ids.insert(id);
            }
        }
        let token = json.get("eos_token").map(|token| token.get("content").unwrap_or(token));
        self.ids.extend(token.and_then(Value::as_str).and_then(|token| tokenizer.id_of(token)));
        Ok(())
    }

    /// Adds stop strings.
    ///
    /// # Errors
    /// [`Error::Request`] for an empty string.
    pub fn add_strings(&mut self, strings: impl IntoIterator<Item = String>) -> Result<()> {
        for string in strings {
            if string.is_empty() {
                return Err(Error::Request("a stop string is empty, expected at least one character".to_owned()));
            }
            self.strings.push(string);
        }
        Ok(())
    }

    /// A matcher for the stop strings, for one generation.
    pub fn matcher(&self) -> StopMatcher {
        let needles = self.strings.iter().filter(|string| !string.is_empty()).map(|string| Needle::new(string));
        StopMatcher { needles: needles.collect(), held: String::new(), text: String::new(), found: None }
    }
}

/// The ids of an `eos_token_id`.
fn ids(value: &Value, file: &Path) -> Result<Vec<u32>> {
    let ids = match value {
        Value::Null => &[],
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let what = || format!("eos_token_id is {value}, expected a token id, a list of them or null");
    let number = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let number = |id| number(id).ok_or_else(|| Error::Format { file: file.to_owned(), what: what() });
    ids.iter().map(number).collect()
}

/// One stop string, and the length of its prefix that ends the text so far (Knuth, Morris, Pratt).
#[derive(Debug, Clone)]
struct Needle {
    bytes: Vec<u8>,
    /// `borders[n]`: length of the longest proper prefix of the first `n` bytes that is also their suffix.
    borders: Vec<usize>,
    matched: usize,
}

impl Needle {
    fn new(string: &str) -> Needle {
        let bytes = string.as_bytes().to_vec();
        let mut borders = vec![0; bytes.len() + 1];
        for end in 1..bytes.len() {
            borders[end + 1] = extend(&bytes, &borders, (borders[end], bytes[end]));
        }
        Needle { bytes, borders, matched: 0 }
    }

    /// Takes one byte. Returns true if it completes the stop string.
    fn advance(&mut self, byte: u8) -> bool {
        self.matched = extend(&self.bytes, &self.borders, (self.matched, byte));
        self.matched == self.bytes.len()
    }
}

/// The number of matching bytes after `byte`, given `matched` before it; `matched` is less than the length.
fn extend(bytes: &[u8], borders: &[usize], (mut matched, byte): (usize, u8)) -> usize {
    while matched > 0 && bytes[matched] != byte {
        matched = borders[matched];
    }
    matched + usize::from(bytes[matched] == byte)
}

/// Finds stop strings in text that arrives in pieces.
///
/// The stop string that completes first ends the text; among several, the one that began first. The result does not
/// depend on how the text is split.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    needles: Vec<Needle>,
    /// The longest suffix of the text so far that may begin a stop string.
    held: String,
    text: String,
    /// The stop string that ended the text.
    found: Option<String>,
}

impl StopMatcher {
    /// Takes a piece. Returns the text that is certain to precede any stop string.
    pub fn push(&mut self, piece: &str) -> &str {
        self.text.clear();
        if self.stopped() {
            return &self.text;
        }
        self.text.push_str(&self.held);
        let known = self.text.len();
        self.text.push_str(piece);
        self.held.clear();
        for position in known..self.text.len() {
            let byte = self.text.as_bytes()[position];
            let complete =
                self.needles.iter_mut().filter_map(|needle| needle.advance(byte).then_some(needle.bytes.len()));
            if let Some(longest) = complete.max() {
                self.text.truncate(position + 1);
                self.found = Some(self.text.split_off(position + 1 - longest));
                return &self.text;
            }
        }
        // The match starts at a character boundary, since a stop string begins with a whole character.
        let held = self.needles.iter().map(|needle| needle.matched).max().unwrap_or(0);
        self.held = self.text.split_off(self.text.len() - held);
        &self.text
    }

    /// The held-back text, at the end of the input.
    pub fn finish(&mut self) -> &str {
        self.text = std::mem::take(&mut self.held);
        self.needles.iter_mut().for_each(|needle| needle.matched = 0);
        &self.text
    }

    /// Whether a stop string was found, so that the generation is over.
    pub fn stopped(&self) -> bool {
        self.found.is_some()
    }

    /// The stop string that ended the text.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }
}
