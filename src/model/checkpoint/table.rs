//! The tensors of a dense Qwen3.5 text model and their shapes: the only place that spells them.

use std::{collections::BTreeMap, fmt};

use super::HEAD;
use crate::model::config::{Config, LayerKind};

/// The part of the model that a tensor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Token embeddings; also the output head if tied.
    Embedding,
    /// Full attention with its query and key norms.
    Attention,
    /// The DeltaNet mixer with its convolution, gates and norm.
    DeltaNet,
    /// Gate, up and down projections.
    Mlp,
    /// The norms of the residual stream.
    Norms,
    /// A separate output head.
    Head,
}

/// A tensor that a checkpoint must hold, given its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The name without prefix: `layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// The index of its layer, if it is in one.
    pub layer: Option<usize>,
    /// Its part of the model.
    pub part: Part,
    /// Outermost dimension first; matrices are `[out, in]`.
    pub shape: Vec<usize>,
}

/// A row of the table: name inside the layer, part, shape padded with zeros.
type Row = (&'static str, Part, [u32; 3]);

/// All tensors of a model with this configuration, from the embedding to the head.
pub fn expected(config: &Config) -> Vec<Expected> {
    let Config { hidden, vocabulary, .. } = *config;
    let mut tensors = vec![tensor(None, ("embed_tokens.weight", Part::Embedding, [vocabulary, hidden, 0]))];
    for (layer, kind) in config.layers.iter().enumerate() {
        let mixer = match kind {
            LayerKind::Full => attention(config).to_vec(),
            LayerKind::Linear => delta_net(config).to_vec(),
        };
        tensors.extend(common(config).into_iter().chain(mixer).map(|row| tensor(Some(layer), row)));
    }
    tensors.push(tensor(None, ("norm.weight", Part::Norms, [hidden, 0, 0])));
    if !config.tied {
        tensors.push(tensor(None, (HEAD, Part::Head, [vocabulary, hidden, 0])));
    }
    tensors
}

/// All tensors by name.
pub(super) fn by_name(config: &Config) -> BTreeMap<String, Expected> {
    expected(config).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect()
}

fn common(config: &Config) -> [Row; 5] {
    let Config { hidden, intermediate, .. } = *config;
    [
        ("input_layernorm.weight", Part::Norms, [hidden, 0, 0]),
        ("post_attention_layernorm.weight", Part::Norms, [hidden, 0, 0]),
        ("mlp.gate_proj.weight", Part::Mlp, [intermediate, hidden, 0]),
        ("mlp.up_proj.weight", Part::Mlp, [intermediate, hidden, 0]),
        ("mlp.down_proj.weight", Part::Mlp, [hidden, intermediate, 0]),
    ]
}

/// `q_proj` has twice the rows: each head's query is followed by its gate.
fn attention(config: &Config) -> [Row; 6] {
    let Config { hidden, head_dim, .. } = *config;
    let (queries, keys) = (config.query_width(), config.kv_width());
    [
        ("self_attn.q_proj.weight", Part::Attention, [2 * queries, hidden, 0]),
        ("self_attn.k_proj.weight", Part::Attention, [keys, hidden, 0]),
        ("self_attn.v_proj.weight", Part::Attention, [keys, hidden, 0]),
        ("self_attn.o_proj.weight", Part::Attention, [hidden, queries, 0]),
        ("self_attn.q_norm.weight", Part::Attention, [head_dim, 0, 0]),
        ("self_attn.k_norm.weight", Part::Attention, [head_dim, 0, 0]),
    ]
}

fn delta_net(config: &Config) -> [Row; 9] {
    let Config { hidden, value_heads, value_head_dim, conv_kernel, .. } = *config;
    let (channels, values) = (config.channels(), config.value_width());
    [
        ("linear_attn.in_proj_qkv.weight", Part::DeltaNet, [channels, hidden, 0]),
        ("linear_attn.in_proj_z.weight", Part::DeltaNet, [values, hidden, 0]),
        ("linear_attn.in_proj_b.weight", Part::DeltaNet, [value_heads, hidden, 0]),
        ("linear_attn.in_proj_a.weight", Part::DeltaNet, [value_heads, hidden, 0]),
        ("linear_attn.conv1d.weight", Part::DeltaNet, [channels, 1, conv_kernel]),
        ("linear_attn.A_log", Part::DeltaNet, [value_heads, 0, 0]),
        ("linear_attn.dt_bias", Part::DeltaNet, [value_heads, 0, 0]),
        ("linear_attn.norm.weight", Part::DeltaNet, [value_head_dim, 0, 0]),
        ("linear_attn.out_proj.weight", Part::DeltaNet, [hidden, values, 0]),
    ]
}

fn tensor(layer: Option<usize>, (name, part, shape): Row) -> Expected {
    let name = layer.map_or_else(|| name.to_string(), |layer| format!("layers.{layer}.{name}"));
    let shape = shape.into_iter().filter(|dimension| *dimension != 0).map(|dimension| dimension as usize).collect();
    Expected { name, layer, part, shape }
}

impl Expected {
    /// Number of values.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|dimension| *dimension as u64).product()
    }

    /// A hint for a known wrong shape.
    pub(super) fn hint(&self, found: &[usize]) -> &'static str {
        let is_mlx = matches!((&*self.shape, found), ([a, 1, b], [c, d, 1]) if (a, b) == (c, d));
        if is_mlx { " (an MLX conversion, whose norms differ too: give the original checkpoint)" } else { "" }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Embedding => "embedding",
            Part::Attention => "attention",
            Part::DeltaNet => "DeltaNet",
            Part::Mlp => "MLP",
            Part::Norms => "norms",
            Part::Head => "output head",
        })
    }
}
