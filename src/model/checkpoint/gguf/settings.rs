//! The model's configuration from a file's keys and its tensor names. No key has a default.

use std::{collections::BTreeMap, ops::Range, path::Path};

use serde_json::{Map, Value as Json, json};

use super::{Value, Values, container::Tensor};
use crate::{
    Error, Result,
    model::{
        checkpoint::names::block,
        config::{Config, Spelling, ValueOrder},
    },
};

const ARCHITECTURE: &str = "qwen35";

const SUPPORTED: &str = "this engine runs dense Qwen3.5 text models (qwen35)";

/// Keys of a config.json and their GGUF names. The keys that need a conversion are last.
const COPIED: usize = 12;
const SPELLING: Spelling<'static> = &[
    ("hidden_size", "qwen35.embedding_length"),
    ("intermediate_size", "qwen35.feed_forward_length"),
    ("num_attention_heads", "qwen35.attention.head_count"),
    ("num_key_value_heads", "qwen35.attention.head_count_kv"),
    ("head_dim", "qwen35.attention.key_length"),
    ("linear_num_key_heads", "qwen35.ssm.group_count"),
    ("linear_num_value_heads", "qwen35.ssm.time_step_rank"),
    ("linear_key_head_dim", "qwen35.ssm.state_size"),
    ("linear_conv_kernel_dim", "qwen35.ssm.conv_kernel"),
    ("max_position_embeddings", "qwen35.context_length"),
    ("rms_norm_eps", "qwen35.attention.layer_norm_rms_epsilon"),
    ("rope_theta", "qwen35.rope.freq_base"),
    ("linear_value_head_dim", "qwen35.ssm.inner_size"),
    ("partial_rotary_factor", "qwen35.rope.dimension_count"),
    ("num_hidden_layers", "qwen35.block_count"),
    ("layer_types", "qwen35.full_attention_interval"),
    ("vocab_size", "token_embd.weight"),
    ("eos_token_id", "tokenizer.ggml.eos_token_id"),
];

/// The keys of a file, and the file's name.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) values: &'a Values,
    pub(super) file: &'a Path,
    /// The whole file, where the elements of lists are.
    pub(super) bytes: &'a [u8],
}

impl<'a> Keys<'a> {
    /// Rejects files other than a whole Qwen3.5 model.
    pub(super) fn require_model(self) -> Result<()> {
        let unsupported = |what: String, hint: &str| {
            Err(Error::Unsupported { what: format!("{}: {what}", self.file.display()), hint: hint.into() })
        };
        match self.text("general.architecture")? {
            ARCHITECTURE => {}
            other => return unsupported(format!("a GGUF file of architecture {other:?}"), SUPPORTED),
        }
        if let Some(Value::Text(kind)) = self.values.get("general.type").filter(|kind| !is_text(kind, "model")) {
            return unsupported(format!("a GGUF file of type {kind:?}"), "give the model's own file");
        }
        match self.values.get("qwen35.rope.scaling.type").filter(|kind| !is_text(kind, "none")) {
            Some(kind) => {
                unsupported(format!("key qwen35.rope.scaling.type: {kind}"), "only the default rope is computed")
            }
            None => Ok(()),
        }
    }

    fn get(self, key: &str) -> Result<&'a Value> {
        self.values.get(key).ok_or_else(|| self.format(format!("key {key} is missing")))
    }

    pub(super) fn text(self, key: &str) -> Result<&'a str> {
        match self.get(key)? {
            Value::Text(text) => Ok(text),
            other => Err(self.bad(key, "a string", other)),
        }
    }

    /// An integer.
    pub(super) fn number(self, key: &str) -> Result<u32> {
        let value = self.get(key)?;
        let number = match value {
            Value::Unsigned(number) => u32::try_from(*number).ok(),
            Value::Signed(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        number.ok_or_else(|| self.bad(key, "a whole number", value))
    }

    /// An integer; `None` if the key is absent.
    pub(super) fn optional(self, key: &str) -> Result<Option<u32>> {
        self.values.get(key).map(|_| self.number(key)).transpose()
    }

    /// A number, or the number that all layers share in a list: there, 0 says that a layer has no such part.
    fn json(self, key: &str) -> Result<Json> {
        match self.get(key)? {
            value @ Value::List(list) if PER_LAYER.contains(&key) => {
                let numbers = list.numbers(self.bytes).ok_or_else(|| self.bad(key, "numbers", "another list"))?;
                let mut numbers: Vec<i64> = numbers.filter(|number| *number != 0).collect();
                numbers.dedup();
                let found = || format!("{value} ({numbers:?})");
                match *numbers {
                    [number] => Ok(number.into()),
                    _ => Err(self.bad(key, "one number for all layers, or 0", found())),
                }
            }
            Value::Float(number) if number.is_finite() => Ok(json!(number)),
            Value::Float(number) => Err(self.bad(key, "a finite number", number)),
            _ => self.number(key).map(Json::from),
        }
    }

    pub(super) fn bad(self, key: &str, want: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        let mut found = found.to_string();
        if found.chars().count() > LONGEST_VALUE {
            found = found.chars().take(LONGEST_VALUE).chain("…".chars()).collect();
        }
        self.format(format!("key {key}: expected {want}, found {found}"))
    }

    pub(super) fn format(self, what: String) -> Error {
        Error::Format { file: self.file.into(), what }
    }
}

/// Keys that some producers write as a list, with a number for each layer.
const PER_LAYER: [&str; 3] =
    ["qwen35.attention.head_count", "qwen35.attention.head_count_kv", "qwen35.feed_forward_length"];

/// Maximum length of a bad value in an error message, in characters.
const LONGEST_VALUE: usize = 80;

fn is_text(value: &Value, wanted: &str) -> bool {
    matches!(value, Value::Text(text) if text == wanted)
}

/// The configuration, and the range of multi-token prediction blocks, which follow the layers.
pub(super) fn config(keys: Keys, tensors: &BTreeMap<String, Tensor>) -> Result<(Config, Range<usize>)> {
    let mut map = Map::new();
    for (ours, key) in &SPELLING[..COPIED] {
        map.insert((*ours).into(), keys.json(key)?);
    }
    if let Some(width) = keys.optional("qwen35.attention.value_length")? {
        let wanted = keys.number("qwen35.attention.key_length")?;
        if width != wanted {
            return Err(keys.bad("qwen35.attention.value_length", format_args!("{wanted}, as key_length"), width));
        }
    }
    let blocks = keys.number("qwen35.block_count")?;
    let mtp = keys.optional("qwen35.nextn_predict_layers")?.unwrap_or(0);
    let Some(layers) = blocks.checked_sub(mtp).filter(|layers| *layers > 0) else {
        let want = format_args!("fewer than block_count ({blocks})");
        return Err(keys.bad("qwen35.nextn_predict_layers", want, mtp));
    };
    map.insert("num_hidden_layers".into(), layers.into());
    map.insert("layer_types".into(), kinds(keys, tensors, layers)?);
    map.insert("linear_value_head_dim".into(), share(keys, "qwen35.ssm.inner_size", "qwen35.ssm.time_step_rank")?);
    map.insert("partial_rotary_factor".into(), rotated(keys)?);
    map.insert("vocab_size".into(), vocabulary(keys, tensors)?);
    map.insert("eos_token_id".into(), ends(keys)?);
    map.insert("tie_word_embeddings".into(), (!tensors.contains_key("output.weight")).into());
    map.insert("model_type".into(), "qwen3_5_text".into());
    let config = Config::read(&map, keys.file, SPELLING)?;
    let first = layers as usize;
    Ok((Config { value_order: value_order(keys)?, ..config }, first..extra_blocks(tensors).max(blocks as usize)))
}

/// The order of value heads. Files of one producer say when theirs are not tiled.
fn value_order(keys: Keys) -> Result<ValueOrder> {
    let key = "qwen35.ssm.v_head_reordered";
    match keys.values.get(key) {
        None | Some(Value::Bool(true)) => Ok(ValueOrder::Tiled),
        Some(Value::Bool(false)) => Ok(ValueOrder::Grouped),
        Some(other) => Err(keys.bad(key, "true or false", other)),
    }
}

/// The end of the blocks that hold tensors of multi-token prediction, whether a key counts them or not.
fn extra_blocks(tensors: &BTreeMap<String, Tensor>) -> usize {
    let extra = tensors.keys().filter_map(|name| block(name)).filter(|(_, rest)| rest.starts_with("nextn."));
    extra.map(|(layer, _)| layer + 1).max().unwrap_or(0)
}

/// The kind of each layer, from the tensor names; the key must agree.
fn kinds(keys: Keys, tensors: &BTreeMap<String, Tensor>, layers: u32) -> Result<Json> {
    let key = "qwen35.full_attention_interval";
    let interval = keys.optional(key)?;
    if interval == Some(0) {
        return Err(keys.bad(key, "a number of layers", 0));
    }
    let mut kinds = Vec::new();
    for layer in 0..layers {
        let has = |name: &str| tensors.contains_key(&format!("blk.{layer}.{name}"));
        let full = match [has("attn_q.weight"), has("attn_qkv.weight")] {
            [true, false] => true,
            [false, true] => false,
            found => {
                let found = if found[0] { "both" } else { "neither" };
                return Err(keys.format(format!(
                    "block {layer} of {layers}: expected tensor attn_q.weight or attn_qkv.weight, found {found}"
                )));
            }
        };
        if let Some(interval) = interval.filter(|interval| (layer + 1).is_multiple_of(*interval) != full) {
            let found = if full { "attn_q.weight" } else { "attn_qkv.weight" };
            return Err(keys.format(format!("key {key} is {interval}, but block {layer} has tensor {found}")));
        }
        kinds.push(if full { "full_attention" } else { "linear_attention" });
    }
    Ok(kinds.into())
}

/// The quotient of two keys.
fn share(keys: Keys, all: &str, count: &str) -> Result<Json> {
    let (sum, parts) = (keys.number(all)?, keys.number(count)?);
    match parts {
        1.. if sum.is_multiple_of(parts) => Ok((sum / parts).into()),
        _ => Err(keys.bad(all, format_args!("a multiple of {count} ({parts})"), sum)),
    }
}

/// The rotated share of a head.
fn rotated(keys: Keys) -> Result<Json> {
    let key = "qwen35.rope.dimension_count";
    let (part, whole) = (keys.number(key)?, keys.number("qwen35.attention.key_length")?);
    match part {
        1.. if part <= whole => Ok((f64::from(part) / f64::from(whole)).into()),
        _ => Err(keys.bad(key, format_args!("1 to key_length ({whole})"), part)),
    }
}

/// Rows of the embedding: at least one per token.
fn vocabulary(keys: Keys, tensors: &BTreeMap<String, Tensor>) -> Result<Json> {
    let name = "token_embd.weight";
    let shape = tensors.get(name).map(|tensor| &*tensor.shape);
    let Some([rows, _]) = shape else {
        let got = shape.map_or("nothing".into(), |shape| format!("{shape:?}"));
        return Err(Error::Tensor { file: keys.file.into(), name: name.into(), want: "a matrix".into(), got });
    };
    match keys.values.get("tokenizer.ggml.tokens") {
        Some(Value::List(tokens)) if tokens.len() > *rows as u64 => {
            let want = format_args!("at most the {rows} rows of {name}");
            Err(keys.bad("tokenizer.ggml.tokens", want, format_args!("{} tokens", tokens.len())))
        }
        _ => Ok((*rows).into()),
    }
}

/// The stop ids.
fn ends(keys: Keys) -> Result<Json> {
    let mut ids = Vec::new();
    for name in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        ids.extend(keys.optional(&format!("tokenizer.ggml.{name}"))?);
    }
    let key = "tokenizer.ggml.eos_token_ids";
    let list = match keys.values.get(key) {
        None => return Ok(ids.into()),
        Some(Value::List(list)) => list.numbers(keys.bytes),
        Some(_) => None,
    };
    for id in list.ok_or_else(|| keys.bad(key, "a list of token ids", keys.values[key].kind()))? {
        ids.push(u32::try_from(id).map_err(|_| keys.bad(key, "token ids", id))?);
    }
    Ok(ids.into())
}

/// A tensor's shape as in other checkpoints: there, the convolution has an extra dimension of one.
pub(super) fn shape(name: &str, shape: Vec<usize>) -> Vec<usize> {
    match *shape {
        [channels, taps] if name.ends_with(".ssm_conv1d.weight") => vec![channels, 1, taps],
        _ => shape,
    }
}
