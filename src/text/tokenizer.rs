//! Text to ids and back. Knows `tokenizer.json` and nothing of models, templates or sampling.
//!
//! Encoding is the `tokenizers` crate. Decoding is our own table of bytes, so that a token costs O(1) and a character
//! that is spread over several tokens is shown once it is whole.

mod decoder;

use std::{panic, path::Path, sync::Arc};

use crate::{Error, Result};
use decoder::Pieces;
pub use decoder::{Decoder, SpecialTokens};

/// Ids at or above this are taken for damage: the largest real vocabularies have about a quarter of a million.
const HIGHEST_VOCABULARY: u32 = 1 << 24;

/// What is looked at before the whole is read.
#[derive(serde::Deserialize)]
struct Outline {
    #[serde(default)]
    decoder: serde_json::Value,
}

/// A byte-level BPE tokenizer as `tokenizer.json` describes it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pieces: Arc<Pieces>,
}

impl Tokenizer {
    /// Reads the contents of a `tokenizer.json`; `file` is only used to name it in errors.
    ///
    /// # Errors
    /// [`Error::Format`] where it cannot be read, or is none of a byte-level BPE.
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Tokenizer> {
        let format = |what: String| Error::Format { file: file.to_owned(), what };
        let unreadable = |why: String| format(format!("this is not a tokenizer.json that can be read: {why}"));
        // The crate takes for granted that it can read what stands for a decoder, and panics over what it cannot.
        let outline: Outline = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        if outline.decoder.get("type").and_then(serde_json::Value::as_str) != Some("ByteLevel") {
            let what = "the decoder is not of type ByteLevel, which is the only one Qwen3.5 checkpoints use";
            return Err(format(what.to_owned()));
        }
        let read = panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes));
        let read = read.unwrap_or_else(|_| Err("its parts do not fit together".into()));
        let mut inner = read.map_err(|error| unreadable(error.to_string()))?;
        // Some files carry the truncation and padding of their training; a prompt must come out whole.
        inner.with_truncation(None).map_err(|error| format(error.to_string()))?;
        inner.with_padding(None);
        let vocabulary = inner.get_vocab(true).values().max().map_or(0, |highest| highest.saturating_add(1));
        if !(1..=HIGHEST_VOCABULARY).contains(&vocabulary) {
            let what = format!("the vocabulary has {vocabulary} ids, expected 1 to {HIGHEST_VOCABULARY}");
            return Err(format(what));
        }
        let pieces = Arc::new(Pieces::new(&inner, vocabulary));
        Ok(Tokenizer { inner, pieces })
    }

    /// The ids of `text`. Special tokens written in it become their ids; nothing is added in front or behind.
    ///
    /// # Errors
    /// [`Error::Request`] where the tokenizer cannot take it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::Request(format!("the text cannot be tokenized: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`, all at once; invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32], special: SpecialTokens) -> String {
        let mut decoder = self.decoder(special);
        let mut text: String = ids.iter().fold(String::new(), |text, &id| text + decoder.push(id));
        text.push_str(decoder.finish());
        text
    }

    /// A decoder that takes one id at a time. It owns its share of the table, so it may outlive the tokenizer.
    pub fn decoder(&self, special: SpecialTokens) -> Decoder {
        Decoder::new(Arc::clone(&self.pieces), special)
    }

    /// The highest id plus one. A model's logits may be wider; ids from here on have no text.
    pub fn vocabulary(&self) -> usize {
        self.pieces.len()
    }

    /// The id of one token as the vocabulary spells it, such as `<|im_end|>`.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}
