//! The sizes of a dense Qwen3.5 text model, as its config.json states them. It knows no file layout and no tensor.

mod fields;
mod named;
mod parameters;
mod parse;

pub(crate) use fields::Spelling;

/// What mixes the tokens of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// Gated attention over all earlier tokens.
    Full,
    /// Gated DeltaNet: a state of fixed size.
    Linear,
}

/// In which order the DeltaNet's value heads lie, where several share a key head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueOrder {
    /// Those of the first key head first, as in the original checkpoints: value head h has key head h div (Hv / Hk).
    Grouped,
    /// The first of each key head first, as in GGUF files: value head h has key head h mod Hk.
    Tiled,
}

/// The sizes and constants of one dense Qwen3.5 text model. Nothing in it has a default: a wrong size loads cleanly and
/// speaks garbage.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width of the residual stream (D).
    pub hidden: u32,
    /// Width inside the MLP.
    pub intermediate: u32,
    /// What each layer is, first to last.
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
    /// How value heads belong to key heads.
    pub value_order: ValueOrder,
    /// Width of a DeltaNet key head (Dk).
    pub key_head_dim: u32,
    /// Width of a DeltaNet value head (Dv).
    pub value_head_dim: u32,
    /// Taps of the causal convolution (K).
    pub conv_kernel: u32,
    /// Rows of the embedding (V): at least the tokenizer's ids, often padded.
    pub vocabulary: u32,
    /// Added to the mean square in every norm.
    pub epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Leading dimensions of a head that are rotated.
    pub rotary_dim: u32,
    /// Whether the output head is the embedding.
    pub tied: bool,
    /// Longest sequence the model was made for.
    pub context: u32,
    /// Ids that end a text, as config.json has them: chat models name more in generation_config.json.
    pub eos: Vec<u32>,
}

impl Config {
    /// Width of all query heads together: the rows of `o_proj`'s input, half the rows of `q_proj`.
    pub fn query_width(&self) -> u32 {
        self.query_heads * self.head_dim
    }

    /// Width of all key heads, or all value heads, of full attention.
    pub fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Width of all DeltaNet key heads (Hk·Dk).
    pub fn key_width(&self) -> u32 {
        self.key_heads * self.key_head_dim
    }

    /// Width of all DeltaNet value heads (Hv·Dv).
    pub fn value_width(&self) -> u32 {
        self.value_heads * self.value_head_dim
    }

    /// Channels of the DeltaNet convolution: queries, keys and values side by side (2·Hk·Dk + Hv·Dv).
    pub fn channels(&self) -> u32 {
        2 * self.key_width() + self.value_width()
    }

    /// Query heads that read one key-value head.
    pub fn queries_per_kv(&self) -> u32 {
        self.query_heads / self.kv_heads
    }

    /// DeltaNet value heads that share one key head.
    pub fn values_per_key(&self) -> u32 {
        self.value_heads / self.key_heads
    }

    /// How many layers are of this kind.
    pub fn count(&self, kind: LayerKind) -> usize {
        self.layers.iter().filter(|layer| **layer == kind).count()
    }
}
