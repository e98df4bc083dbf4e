//! How likely a text is.

use super::Generator;
use crate::{
    error::Result,
    measure::perplexity::{self, Cut, Passage, Side},
};

impl Generator {
    /// The logarithm, in nats, of the probability of each token of a text but the first, given the tokens before it. The
    /// text takes memory of its own; texts that are being generated are not touched.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text of less than two tokens, or of more than the model was made for;
    /// [`crate::Error::Device`]; [`crate::Error::OutOfMemory`].
    pub fn score(&self, text: &str) -> Result<Vec<f64>> {
        let ids = self.text.tokenizer.encode(text)?;
        let window = ids.len() as u32;
        let passage = Passage::of_ids(ids, Cut::apart(window))?;
        let side = Side { model: self.engine.model().clone(), kv: self.engine.plan().kv };
        perplexity::log_probabilities(&side, &passage)
    }
}
