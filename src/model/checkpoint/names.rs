//! The tensor names of checkpoints, and the tensors outside the text model.

use std::{borrow::Cow, ops::Range};

use super::{HEAD, Skipped};

/// Prefixes of the text model's tensors: in multimodal checkpoints, and in text-only ones.
pub(super) const PREFIXES: [&str; 2] = ["model.language_model.", "model."];

/// How a checkpoint names its tensors.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// The model's own names, with this prefix.
    Prefixed(&'static str),
    /// GGUF names. The blocks `mtp`, after the text model's layers, belong to multi-token prediction.
    Gguf { mtp: Range<usize> },
}

/// Tensors outside layers: the name here, and the GGUF name.
const TOP: [(&str, &str); 3] =
    [("embed_tokens.weight", "token_embd.weight"), ("norm.weight", "output_norm.weight"), (HEAD, "output.weight")];

/// Tensors inside a layer: the name here, and the GGUF name.
const LAYER: [(&str, &str); 20] = [
    ("input_layernorm.weight", "attn_norm.weight"),
    ("post_attention_layernorm.weight", "post_attention_norm.weight"),
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
    ("self_attn.q_proj.weight", "attn_q.weight"),
    ("self_attn.k_proj.weight", "attn_k.weight"),
    ("self_attn.v_proj.weight", "attn_v.weight"),
    ("self_attn.o_proj.weight", "attn_output.weight"),
    ("self_attn.q_norm.weight", "attn_q_norm.weight"),
    ("self_attn.k_norm.weight", "attn_k_norm.weight"),
    ("linear_attn.in_proj_qkv.weight", "attn_qkv.weight"),
    ("linear_attn.in_proj_z.weight", "attn_gate.weight"),
    ("linear_attn.in_proj_b.weight", "ssm_beta.weight"),
    ("linear_attn.in_proj_a.weight", "ssm_alpha.weight"),
    ("linear_attn.conv1d.weight", "ssm_conv1d.weight"),
    ("linear_attn.A_log", "ssm_a"),
    ("linear_attn.dt_bias", "ssm_dt.bias"),
    ("linear_attn.norm.weight", "ssm_norm.weight"),
    ("linear_attn.out_proj.weight", "ssm_out.weight"),
];

/// Tensors inside a block that some producers of GGUF files spell in another way: their name, and the usual one.
const ALIASES: [(&str, &str); 5] = [
    ("ssm_dt", "ssm_dt.bias"),
    ("ssm_dt.weight", "ssm_dt.bias"),
    ("ssm_a.weight", "ssm_a"),
    ("attn_out.weight", "attn_output.weight"),
    ("ffn_norm.weight", "post_attention_norm.weight"),
];

/// Beginnings of GGUF tensors outside the text model. Some producers put all parts of a model into one file.
const ASIDE: [(&str, Skipped); 7] = [
    ("v.", Skipped::Vision),
    ("mm.", Skipped::Vision),
    ("visual.", Skipped::Vision),
    ("model.visual.", Skipped::Vision),
    ("mtp.", Skipped::Mtp),
    ("nextn.", Skipped::Mtp),
    ("rope_freqs.", Skipped::Other),
];

/// The usual name of a GGUF tensor.
pub(super) fn usual(full: &str) -> Cow<'_, str> {
    let alias = block(full).and_then(|(layer, rest)| Some((layer, other(&ALIASES, rest, false)?)));
    alias.map_or(full.into(), |(layer, usual)| format!("blk.{layer}.{usual}").into())
}

impl Names {
    /// The checkpoint's full name of a tensor.
    pub(super) fn full(&self, name: &str) -> String {
        match self {
            Self::Prefixed(_) if name == HEAD => name.to_owned(),
            Self::Prefixed(prefix) => format!("{prefix}{name}"),
            Self::Gguf { .. } => {
                let block = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
                let found = match block {
                    Some((layer, rest)) => other(&LAYER, rest, false).map(|rest| format!("blk.{layer}.{rest}")),
                    None => other(&TOP, name, false).map(str::to_owned),
                };
                found.unwrap_or_else(|| name.to_owned())
            }
        }
    }

    /// The inverse of [`Names::full`], if there is one. It does not say that the model has this tensor.
    pub(super) fn short<'a>(&self, full: &'a str) -> Option<Cow<'a, str>> {
        match self {
            Self::Prefixed(_) if full == HEAD => Some(full.into()),
            Self::Prefixed(prefix) => full.strip_prefix(prefix).map(Cow::Borrowed),
            Self::Gguf { .. } => match block(full) {
                Some((layer, rest)) => other(&LAYER, rest, true).map(|rest| format!("layers.{layer}.{rest}").into()),
                None => other(&TOP, full, true).map(Cow::Borrowed),
            },
        }
    }

    /// The part of a skipped tensor, if its full name alone shows that it is outside the text model.
    pub(super) fn skipped(&self, full: &str) -> Option<Skipped> {
        match self {
            Self::Prefixed(prefix) => {
                let inner = PREFIXES.iter().find_map(|prefix| full.strip_prefix(prefix)).unwrap_or(full);
                if inner.starts_with("visual.") {
                    return Some(Skipped::Vision);
                }
                if inner.starts_with("mtp.") {
                    return Some(Skipped::Mtp);
                }
                let beside = full != HEAD && !full.starts_with(prefix);
                (beside || full.ends_with("rotary_emb.inv_freq")).then_some(Skipped::Other)
            }
            Self::Gguf { mtp } => match block(full) {
                Some((layer, _)) => mtp.contains(&layer).then_some(Skipped::Mtp),
                None => ASIDE.iter().find(|(prefix, _)| full.starts_with(prefix)).map(|(_, part)| *part),
            },
        }
    }
}

/// The block of a GGUF tensor, and the tensor's name in the block.
pub(super) fn block(full: &str) -> Option<(usize, &str)> {
    let (layer, rest) = full.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok().filter(|number: &usize| number.to_string() == layer)?, rest))
}

/// Looks up one column of a table by the other.
fn other<'a>(table: &[(&'a str, &'a str)], name: &str, back: bool) -> Option<&'a str> {
    let own = |row: &&(&str, &str)| if back { row.1 == name } else { row.0 == name };
    table.iter().find(own).map(|row| if back { row.0 } else { row.1 })
}
