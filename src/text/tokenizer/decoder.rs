//! Converts ids to text, one at a time. Knows only bytes and UTF-8.

use std::{str, sync::Arc};

/// How to decode special tokens such as `<|im_end|>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpecialTokens {
    /// They produce no text.
    #[default]
    Skip,
    /// They produce their spelling in the vocabulary.
    Show,
}

/// The bytes of all tokens, in one allocation.
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    /// Token `id` ends at `ends[id]` and begins at the end of the token before it.
    ends: Vec<usize>,
    special: Vec<bool>,
}

impl TokenBytes {
    pub(super) fn new(tokenizer: &tokenizers::Tokenizer, vocabulary: u32) -> TokenBytes {
        let alphabet = Alphabet::new();
        let added = tokenizer.get_added_vocabulary();
        let mut token_bytes = TokenBytes { bytes: Vec::new(), ends: Vec::new(), special: Vec::new() };
        for id in 0..vocabulary {
            let token = tokenizer.id_to_token(id).unwrap_or_default();
            alphabet.append(&token, &mut token_bytes.bytes);
            token_bytes.ends.push(token_bytes.bytes.len());
            token_bytes.special.push(added.is_special_token(&token));
        }
        token_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token; empty for an id without text.
    fn bytes_of(&self, id: u32, special: SpecialTokens) -> &[u8] {
        let id = id as usize;
        if id >= self.len() || (special == SpecialTokens::Skip && self.special[id]) {
            return &[];
        }
        let begin = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[begin..self.ends[id]]
    }
}

/// GPT-2's spelling of bytes as printable characters: a printable byte is itself, the others follow in order from
/// U+0100.
struct Alphabet {
    byte_of: Vec<Option<u8>>,
}

impl Alphabet {
    fn new() -> Alphabet {
        let mut byte_of = vec![None; 512];
        let mut next = 256;
        for byte in 0..=u8::MAX {
            let prints = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let character = if prints { usize::from(byte) } else { next };
            next += usize::from(!prints);
            byte_of[character] = Some(byte);
        }
        Alphabet { byte_of }
    }

    /// An added token may be plain text: one character outside the alphabet makes the whole token literal.
    fn append(&self, token: &str, bytes: &mut Vec<u8>) {
        let begin = bytes.len();
        for character in token.chars() {
            let Some(Some(byte)) = self.byte_of.get(character as usize) else {
                bytes.truncate(begin);
                bytes.extend_from_slice(token.as_bytes());
                return;
            };
            bytes.push(*byte);
        }
    }
}

/// Converts ids to text one at a time, in whole characters. All pieces joined are the decoded text.
pub struct Decoder {
    token_bytes: Arc<TokenBytes>,
    special: SpecialTokens,
    /// Bytes of an incomplete character, at most three between calls.
    pending: Vec<u8>,
    text: String,
}

impl Decoder {
    pub(super) fn new(token_bytes: Arc<TokenBytes>, special: SpecialTokens) -> Decoder {
        Decoder { token_bytes, special, pending: Vec::new(), text: String::new() }
    }

    /// The text that `id` completes: often its own, empty while a character is incomplete.
    pub fn push(&mut self, id: u32) -> &str {
        self.pending.extend_from_slice(self.token_bytes.bytes_of(id, self.special));
        self.text.clear();
        let (mut seen, mut whole) = (0, 0);
        for chunk in self.pending.utf8_chunks() {
            self.text.push_str(chunk.valid());
            seen += chunk.valid().len() + chunk.invalid().len();
            // An incomplete character waits for its rest; it can only be at the very end.
            let unfinished = str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            whole = seen;
            if unfinished && seen == self.pending.len() {
                whole -= chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..whole);
        &self.text
    }

    /// Returns the pending text at the end: empty, or U+FFFD for an incomplete character. The decoder can then decode
    /// another text.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        self.text.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        &self.text
    }
}
