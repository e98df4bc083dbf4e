//! Passages of texts.

use super::{Cut, Passage};
use crate::{
    error::{Error, Result},
    text::tokenizer::Tokenizer,
};

/// The token between documents.
const SEPARATOR: &str = "<|endoftext|>";

impl Passage {
    /// A text in windows that ignore document boundaries. Uses at most `max_ids` ids.
    ///
    /// # Errors
    /// [`Error::Request`] for a text of fewer than two ids, which has nothing to score.
    pub fn windows(text: &str, tokenizer: &Tokenizer, cut: Cut, max_ids: usize) -> Result<Self> {
        let mut ids = tokenizer.encode(text)?;
        ids.truncate(max_ids);
        Self::of_ids(ids, cut)
    }

    /// A text as documents. Each lies between two separators, which belong to it; the closing one is scored. Skips
    /// empty documents, and ids beyond `max_ids`, counting the closing separator of each document.
    ///
    /// # Errors
    /// [`Error::Request`] for a text without documents, or a tokenizer without the separator.
    pub fn documents(text: &str, tokenizer: &Tokenizer, cut: Cut, max_ids: usize) -> Result<Self> {
        let separator = tokenizer.id_of(SEPARATOR).ok_or_else(|| {
            let what = "--documents needs it to part documents; leave the flag out";
            Error::Request(format!("the tokenizer has no {SEPARATOR}, and {what}"))
        })?;
        let mut passage = Self { ids: vec![separator], windows: Vec::new(), documents: 0 };
        for document in text.split(SEPARATOR).filter(|document| !document.is_empty()) {
            let first = passage.ids.len() - 1;
            passage.ids.extend(tokenizer.encode(document)?);
            passage.ids.push(separator);
            passage.ids.truncate(max_ids.saturating_add(1));
            passage.windows.extend(cut.windows(first..passage.ids.len()));
            passage.documents += 1;
            if passage.ids.len() > max_ids {
                break;
            }
        }
        if passage.documents == 0 {
            return Err(Error::Request(format!("the text has no documents, only {SEPARATOR}: give one with some")));
        }
        Ok(passage)
    }
}
