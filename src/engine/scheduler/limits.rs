//! The limits of a scheduler, and whether a sequence can finish within them.

use crate::error::{Error, Result};

/// The work limit of one step, and the amounts of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum tokens per step, given and sampled tokens together.
    pub budget: usize,
    /// Tokens per DeltaNet chunk: prefill ends at multiples of it, counted from the start of the sequence.
    pub align: usize,
    /// Tokens per KV page.
    pub page_size: usize,
    /// Number of KV pages.
    pub pages: usize,
    /// Number of DeltaNet slots, for sequences and snapshots together.
    pub slots: usize,
    /// Maximum number of running sequences.
    pub sequences: usize,
    /// Maximum number of tokens per sequence.
    pub context: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { budget: 512, align: 64, page_size: 16, pages: 256, slots: 8, sequences: 8, context: 4096 }
    }
}

impl Limits {
    /// Number of KV pages for `tokens` tokens.
    pub fn pages_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_size)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Limits { budget, align, page_size, pages, slots, sequences, context } = *self;
        let named = [
            ("tokens per DeltaNet chunk", align),
            ("tokens per KV page", page_size),
            ("KV pages", pages),
            ("DeltaNet slots", slots),
            ("sequences", sequences),
            ("context", context),
        ];
        for (name, value) in named {
            if value == 0 || u32::try_from(value).is_err() {
                return Err(Error::Request(format!("{name}: {value} is not between 1 and {}", u32::MAX)));
            }
        }
        // All running sequences may decode one token each before the oldest prompt gets the rest, and prefill advances
        // by whole chunks. With a smaller budget it could stop until the others finish.
        let min_budget = align + sequences;
        if budget < min_budget {
            return Err(Error::Request(format!(
                "--budget {budget} tokens a step are too few: \
                 one chunk of {align} and one token for each of {sequences} sequences need {min_budget}"
            )));
        }
        Ok(())
    }

    /// Whether a sequence with `known` tokens that may grow to `max_len` can finish alone in memory.
    pub(super) fn fit(&self, known: usize, max_len: usize) -> Result<()> {
        let Limits { page_size, pages, context, .. } = *self;
        let refused = |what| Err(Error::Request(what));
        if max_len < known {
            return refused(format!("the sequence has {known} tokens already and may have {max_len} at most"));
        }
        if max_len > context {
            return refused(format!("the sequence needs {max_len} tokens and the context has {context}"));
        }
        let need = self.pages_for(max_len);
        if need > pages {
            return refused(format!(
                "the sequence needs {need} KV pages for {max_len} tokens and there are {pages} of {page_size} tokens each"
            ));
        }
        Ok(())
    }
}
