//! What a scheduler may hand out, and whether a sequence can ever be served within that.

use crate::error::{Error, Result};

/// How much one step may compute and how much memory there is to share out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens computed in one step at the most, of prompts and sampled ones together.
    pub budget: usize,
    /// Tokens per DeltaNet chunk: prompts are cut at multiples of it, counted from the start of the sequence.
    pub align: usize,
    /// Tokens per KV block.
    pub block: usize,
    /// KV blocks there are.
    pub blocks: usize,
    /// DeltaNet slots there are, for sequences and snapshots together.
    pub slots: usize,
    /// Sequences that run at once, at the most.
    pub sequences: usize,
    /// Tokens of one sequence at the most.
    pub context: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { budget: 512, align: 64, block: 16, blocks: 256, slots: 8, sequences: 8, context: 4096 }
    }
}

impl Limits {
    /// KV blocks that `tokens` tokens fill.
    pub fn blocks_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Limits { budget, align, block, blocks, slots, sequences, context } = *self;
        let named = [
            ("tokens per DeltaNet chunk", align),
            ("tokens per KV block", block),
            ("KV blocks", blocks),
            ("DeltaNet slots", slots),
            ("sequences", sequences),
            ("context", context),
        ];
        for (name, value) in named {
            if value == 0 || u32::try_from(value).is_err() {
                return Err(Error::Request(format!("{name}: {value} is not between 1 and {}", u32::MAX)));
            }
        }
        // Every running sequence may decode one token before the oldest prompt gets what is left, and a prompt moves
        // by whole chunks: with less than this it could stand still for as long as the others decode.
        let least = align + sequences;
        if budget < least {
            return Err(Error::Request(format!(
                "--budget {budget} tokens a step are too few: \
                 one chunk of {align} and one token for each of {sequences} sequences need {least}"
            )));
        }
        Ok(())
    }

    /// Whether a sequence that knows `known` tokens and may grow to `max_len` can finish with all memory to itself.
    pub(super) fn fit(&self, known: usize, max_len: usize) -> Result<()> {
        let Limits { block, blocks, context, .. } = *self;
        let refused = |what| Err(Error::Request(what));
        if max_len < known {
            return refused(format!("the sequence has {known} tokens already and may have {max_len} at most"));
        }
        if max_len > context {
            return refused(format!("the sequence needs {max_len} tokens and the context has {context}"));
        }
        let need = self.blocks_for(max_len);
        if need > blocks {
            return refused(format!(
                "the sequence needs {need} KV blocks for {max_len} tokens and there are {blocks} of {block} tokens each"
            ));
        }
        Ok(())
    }
}
