//! The probability of a text.

use super::Generator;
use crate::{
    error::Result,
    measure::perplexity::{self, Cut, Passage, Side},
};

impl Generator {
    /// The log-probability, in nats, of each token of a text after the first, given the tokens before it. Uses separate
    /// memory, so open texts do not change.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text of fewer than two tokens, or more tokens than the model's context;
    /// [`crate::Error::Device`]; [`crate::Error::OutOfMemory`].
    pub fn score(&self, text: &str) -> Result<Vec<f64>> {
        pollster::block_on(self.score_async(text))
    }

    /// [`Generator::score`] for callers that must not block.
    ///
    /// # Errors
    /// Those of [`Generator::score`].
    pub async fn score_async(&self, text: &str) -> Result<Vec<f64>> {
        let ids = self.text.tokenizer.encode(text)?;
        let window = ids.len() as u32;
        let passage = Passage::of_ids(ids, Cut::apart(window))?;
        let side = Side { model: self.engine.model().clone(), kv: self.engine.plan().kv };
        perplexity::log_probabilities(&side, &passage).await
    }
}
