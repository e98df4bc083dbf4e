//! The sizes of a dense Qwen3.5 text model from its config.json. Knows no file layout and no tensor.

mod fields;
mod named;
mod parameters;
mod parse;

use crate::error::{Error, Result};
pub(crate) use fields::Spelling;

/// How a layer mixes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// Gated attention over all earlier tokens.
    Full,
    /// Gated DeltaNet: a recurrent state of fixed size.
    Linear,
}

/// The order of the DeltaNet's value heads, if several share a key head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueOrder {
    /// Grouped by key head, as in the original checkpoints: value head h uses key head h div (Hv / Hk).
    Grouped,
    /// Round-robin over the key heads, as in GGUF files: value head h uses key head h mod Hk.
    Tiled,
}

/// The sizes and constants of a dense Qwen3.5 text model. No field has a default: a wrong size would load without an
/// error and generate nonsense.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width of the residual stream (D).
    pub hidden: u32,
    /// Inner width of the MLP (I).
    pub intermediate: u32,
    /// The kind of each layer, in order.
    pub layers: Vec<LayerKind>,
    /// Query heads of full attention (Hq).
    pub query_heads: u32,
    /// Key and value heads of full attention (Hkv); divides `query_heads`.
    pub kv_heads: u32,
    /// Width of a head of full attention.
    pub head_dim: u32,
    /// Key (and query) heads of the DeltaNet (Hk).
    pub key_heads: u32,
    /// Value heads of the DeltaNet (Hv); a multiple of `key_heads`.
    pub value_heads: u32,
    /// The order of the value heads.
    pub value_order: ValueOrder,
    /// Width of a DeltaNet key head (Dk).
    pub key_head_dim: u32,
    /// Width of a DeltaNet value head (Dv).
    pub value_head_dim: u32,
    /// Kernel width of the causal convolution (K).
    pub conv_kernel: u32,
    /// Rows of the embedding (V): at least the number of tokenizer ids, often padded.
    pub vocabulary: u32,
    /// Epsilon, added to the mean square in every norm.
    pub epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Number of rotated leading dimensions of a head.
    pub rotary_dim: u32,
    /// Whether the output head shares the embedding's weights.
    pub tied: bool,
    /// The model's maximum sequence length in tokens.
    pub context: u32,
    /// Stop ids in config.json. Chat models have more in generation_config.json.
    pub eos: Vec<u32>,
}

impl Config {
    /// Checks a context length.
    ///
    /// # Errors
    /// [`Error::Request`] if it exceeds the model's.
    pub fn require_context(&self, context: u32) -> Result<()> {
        let longest = self.context;
        if context > longest {
            return Err(Error::Request(format!(
                "a context of {context} tokens is longer than the model was made for: --context {longest} at most"
            )));
        }
        Ok(())
    }

    /// Total width of the query heads: the input width of `o_proj`, half the rows of `q_proj`.
    pub fn query_width(&self) -> u32 {
        self.query_heads * self.head_dim
    }

    /// Total width of the key heads of full attention, and of the value heads.
    pub fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Total width of the DeltaNet key heads (Hk·Dk).
    pub fn key_width(&self) -> u32 {
        self.key_heads * self.key_head_dim
    }

    /// Total width of the DeltaNet value heads (Hv·Dv).
    pub fn value_width(&self) -> u32 {
        self.value_heads * self.value_head_dim
    }

    /// Channels of the DeltaNet convolution: queries, keys and values side by side (2·Hk·Dk + Hv·Dv).
    pub fn channels(&self) -> u32 {
        2 * self.key_width() + self.value_width()
    }

    /// Query heads per key-value head.
    pub fn queries_per_kv(&self) -> u32 {
        self.query_heads / self.kv_heads
    }

    /// DeltaNet value heads per key head.
    pub fn values_per_key(&self) -> u32 {
        self.value_heads / self.key_heads
    }

    /// Number of layers of this kind.
    pub fn count(&self, kind: LayerKind) -> usize {
        self.layers.iter().filter(|layer| **layer == kind).count()
    }
}
