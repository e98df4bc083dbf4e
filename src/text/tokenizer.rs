//! Converts text to ids and back. Knows only `tokenizer.json`: no models, templates or sampling.
//!
//! The `tokenizers` crate encodes. Our own byte table decodes, in O(1) per token. A character split over several tokens
//! appears when it is complete.

mod decoder;

use std::{collections::HashSet, panic, path::Path, sync::Arc};

use crate::{
    Error, Result,
    text::metadata::{AddedToken, Metadata},
};
use decoder::TokenBytes;
pub use decoder::{Decoder, SpecialTokens};

/// Larger vocabularies count as a broken file: the largest real ones have about 250,000 ids.
const HIGHEST_VOCABULARY: u32 = 1 << 24;

/// The part of the file that is checked first.
#[derive(serde::Deserialize)]
struct Outline {
    #[serde(default)]
    decoder: serde_json::Value,
}

/// A byte-level BPE tokenizer, read from `tokenizer.json`.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    token_bytes: Arc<TokenBytes>,
}

impl Tokenizer {
    /// Parses the contents of a `tokenizer.json`; only errors use `file`, as its name.
    ///
    /// # Errors
    /// [`Error::Format`] if the file cannot be parsed or is not a byte-level BPE.
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Tokenizer> {
        Tokenizer::with_metadata(bytes, file, &Metadata::default())
    }

    /// Like [`Tokenizer::from_bytes`], with the added tokens and special tokens of the checkpoint's other files. Each
    /// becomes one id, as in transformers: the id of its text if the vocabulary has it, otherwise the next free id.
    ///
    /// # Errors
    /// Those of [`Tokenizer::from_bytes`].
    pub fn with_metadata(bytes: &[u8], file: &Path, metadata: &Metadata) -> Result<Tokenizer> {
        let format = |what: String| Error::Format { file: file.to_owned(), what };
        let unreadable = |why: String| format(format!("this is not a tokenizer.json that can be read: {why}"));
        // The crate panics on a decoder type that it does not know, so check the type first.
        let outline: Outline = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        if outline.decoder.get("type").and_then(serde_json::Value::as_str) != Some("ByteLevel") {
            let what = "the decoder is not of type ByteLevel, which is the only one Qwen3.5 checkpoints use";
            return Err(format(what.to_owned()));
        }
        let read = panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes));
        let read = read.unwrap_or_else(|_| Err("its parts do not fit together".into()));
        let mut inner = read.map_err(|error| unreadable(error.to_string()))?;
        // Some files keep the truncation and padding of their training; a prompt must stay complete.
        inner.with_truncation(None).map_err(|error| format(error.to_string()))?;
        inner.with_padding(None);
        add(&mut inner, metadata).map_err(|error| format(error.to_string()))?;
        let vocabulary = inner.get_vocab(true).values().max().map_or(0, |highest| highest.saturating_add(1));
        if !(1..=HIGHEST_VOCABULARY).contains(&vocabulary) {
            let what = format!("the vocabulary has {vocabulary} ids, expected 1 to {HIGHEST_VOCABULARY}");
            return Err(format(what));
        }
        let token_bytes = Arc::new(TokenBytes::new(&inner, vocabulary));
        Ok(Tokenizer { inner, token_bytes })
    }

    /// Encodes `text`. Special tokens written in it become their ids; nothing is added before or after.
    ///
    /// # Errors
    /// [`Error::Request`] if the tokenizer rejects the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::Request(format!("the text cannot be tokenized: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Decodes `ids` at once; invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32], special: SpecialTokens) -> String {
        let mut decoder = self.decoder(special);
        let mut text: String = ids.iter().fold(String::new(), |text, &id| text + decoder.push(id));
        text.push_str(decoder.finish());
        text
    }

    /// A decoder for one id at a time. It shares ownership of the table, so it may outlive the tokenizer.
    pub fn decoder(&self, special: SpecialTokens) -> Decoder {
        Decoder::new(Arc::clone(&self.token_bytes), special)
    }

    /// The highest id plus one. A model may have more logits; ids beyond this one have no text.
    pub fn vocabulary(&self) -> usize {
        self.token_bytes.len()
    }

    /// The id of one token, spelled as in the vocabulary, for example `<|im_end|>`.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}

/// Adds the tokens that tokenizer.json does not already add.
fn add(inner: &mut tokenizers::Tokenizer, metadata: &Metadata) -> tokenizers::Result<()> {
    let known: HashSet<String> = inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    let missing = metadata.added.iter().filter(|token| !known.contains(&token.content) && !token.content.is_empty());
    let token = |token: &AddedToken| {
        tokenizers::AddedToken::from(token.content.clone(), token.special)
            .single_word(token.single_word)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .normalized(token.normalized)
    };
    inner.add_tokens(missing.map(token))?;
    for (token, id) in metadata.added.iter().zip(&metadata.ids) {
        let found = inner.token_to_id(&token.content);
        if found != Some(*id) && !token.content.is_empty() {
            let found = found.map_or("none".into(), |found| found.to_string());
            log::warn!(
                "added_tokens_decoder gives {:?} the id {id}, but the vocabulary gives it {found}",
                token.content
            );
        }
    }
    Ok(())
}
