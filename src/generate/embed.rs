//! A vector for a text.

use super::Generator;
use crate::{engine::last_hidden_state, error::Result};

impl Generator {
    /// The last hidden state of a text's last token, after the final norm: as many numbers as the model is wide, and
    /// not of unit length. Uses separate memory, so open texts do not change.
    ///
    /// The model was trained to predict the next token, not to place texts of one meaning close together. A model that
    /// was trained for embeddings finds similar texts better.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text of no tokens, or more tokens than the model's context;
    /// [`crate::Error::Device`]; [`crate::Error::OutOfMemory`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        pollster::block_on(self.embed_async(text))
    }

    /// [`Generator::embed`] for callers that must not block.
    ///
    /// # Errors
    /// Those of [`Generator::embed`].
    pub async fn embed_async(&self, text: &str) -> Result<Vec<f32>> {
        let ids = self.text.tokenizer.encode(text)?;
        last_hidden_state(self.engine.model(), self.engine.plan().kv, &ids).await
    }
}
