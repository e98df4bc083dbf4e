//! Parses the text of a config.json into a [`Config`], and rejects everything that this engine would compute wrongly.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Config, LayerKind, Spelling, ValueOrder, fields::Fields};
use crate::{Error, Result, kernels::operands::heads::TAPS};

/// Upper bounds of the sizes: far above any model of the family. Products of widths fit in u32, and the size of a
/// tensor fits in u64.
mod max {
    pub(super) const WIDTH: u32 = 1 << 16;
    pub(super) const INTERMEDIATE: u32 = 1 << 18;
    pub(super) const LAYERS: u32 = 1024;
    pub(super) const HEADS: u32 = 1024;
    pub(super) const HEAD_DIM: u32 = 1024;
    pub(super) const CONV_KERNEL: u32 = 16;
    pub(super) const VOCABULARY: u32 = 1 << 22;
    /// f32 is exact for integers up to here, so positions are exact.
    pub(super) const CONTEXT: u32 = 1 << 24;
}

const SUPPORTED: &str = "this engine runs dense Qwen3.5 text models (model_type qwen3_5 or qwen3_5_text)";

impl Config {
    /// Parses the text of a config.json; `file` is its path, for messages.
    ///
    /// # Errors
    /// [`Error::Format`] names a missing or invalid key. [`Error::Unsupported`] names another architecture, a quantized
    /// checkpoint or an unknown variant.
    pub fn parse(json: &[u8], file: &Path) -> Result<Config> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let map: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|why| Error::Format { file: file.into(), what: format!("not a JSON object: {why}") })?;
        Config::read(&map, file, &[])
    }

    /// Like [`Config::parse`], from JSON built out of another file format, with that format's key names for messages.
    pub(crate) fn read(map: &Map<String, Value>, file: &Path, spelling: Spelling<'_>) -> Result<Config> {
        let top = Fields::top(file, map, spelling);
        let text = text_fields(top)?;
        refuse_variants(top)?;
        refuse_variants(text)?;
        let (rope_theta, factor) = rope(text)?;
        let head_dim = text.size("head_dim", max::HEAD_DIM)?;
        let mut eos = text.ids("eos_token_id")?;
        eos.extend(top.ids("eos_token_id")?.into_iter().filter(|id| !eos.contains(id)).collect::<Vec<_>>());
        let config = Config {
            hidden: text.size("hidden_size", max::WIDTH)?,
            intermediate: text.size("intermediate_size", max::INTERMEDIATE)?,
            layers: layers(text)?,
            query_heads: text.size("num_attention_heads", max::HEADS)?,
            kv_heads: text.size("num_key_value_heads", max::HEADS)?,
            head_dim,
            key_heads: text.size("linear_num_key_heads", max::HEADS)?,
            value_heads: text.size("linear_num_value_heads", max::HEADS)?,
            value_order: ValueOrder::Grouped,
            key_head_dim: text.size("linear_key_head_dim", max::HEAD_DIM)?,
            value_head_dim: text.size("linear_value_head_dim", max::HEAD_DIM)?,
            conv_kernel: text.size("linear_conv_kernel_dim", max::CONV_KERNEL)?,
            vocabulary: text.size("vocab_size", max::VOCABULARY)?,
            epsilon: text.number("rms_norm_eps")?.ok_or_else(|| text.missing("rms_norm_eps"))? as f32,
            rope_theta,
            // transformers also truncates.
            rotary_dim: (f64::from(head_dim) * factor) as u32,
            tied: tied(top, text)?,
            context: text.size("max_position_embeddings", max::CONTEXT)?,
            eos,
        };
        config.check(text)?;
        Ok(config)
    }

    /// Checks relations between the sizes; messages use the file's keys.
    fn check(&self, text: Fields) -> Result<()> {
        let multiples = [
            ("num_attention_heads", self.query_heads, "num_key_value_heads", self.kv_heads),
            ("linear_num_value_heads", self.value_heads, "linear_num_key_heads", self.key_heads),
        ];
        for (key, found, of, unit) in multiples {
            if !found.is_multiple_of(unit) {
                return Err(text.bad(key, format_args!("a multiple of {of} ({unit})"), found));
            }
        }
        let quads = [
            ("hidden_size", self.hidden),
            ("intermediate_size", self.intermediate),
            ("linear_key_head_dim", self.key_head_dim),
            ("linear_value_head_dim", self.value_head_dim),
        ];
        if let Some((key, found)) = quads.into_iter().find(|(_, width)| !width.is_multiple_of(4)) {
            return Err(text.bad(key, "a multiple of 4", found));
        }
        self.check_kernels(text)?;
        if self.rotary_dim == 0 || !self.rotary_dim.is_multiple_of(4) || self.rotary_dim > self.head_dim {
            let want = format_args!("a part of head_dim ({}) that is a multiple of 4", self.head_dim);
            let found = format_args!("{} rotated dimensions", self.rotary_dim);
            return Err(text.bad("partial_rotary_factor", want, found));
        }
        if !(self.epsilon > 0.0 && self.epsilon < 1.0) {
            return Err(text.bad("rms_norm_eps", "a number between 0 and 1", self.epsilon));
        }
        Ok(())
    }

    /// Checks the limits of the kernels, which are wider than any model of the family.
    fn check_kernels(&self, text: Fields) -> Result<()> {
        if !self.head_dim.is_power_of_two() || !(16..=512).contains(&self.head_dim) {
            return Err(text.bad("head_dim", "a power of two from 16 to 512", self.head_dim));
        }
        let widths = [("linear_key_head_dim", self.key_head_dim), ("linear_value_head_dim", self.value_head_dim)];
        if let Some((key, found)) = widths.into_iter().find(|(_, width)| *width > 256) {
            return Err(text.bad(key, "at most 256", found));
        }
        if !self.value_heads.is_multiple_of(2) {
            return Err(text.bad("linear_num_value_heads", "an even number", self.value_heads));
        }
        if self.conv_kernel != TAPS {
            return Err(text.bad("linear_conv_kernel_dim", TAPS, self.conv_kernel));
        }
        Ok(())
    }
}

/// The object with the text model's keys: the top level, or `text_config` of a multimodal checkpoint.
fn text_fields(top: Fields) -> Result<Fields> {
    match top.string("model_type")?.ok_or_else(|| top.missing("model_type"))? {
        "qwen3_5_text" => Ok(top),
        "qwen3_5" => {
            let text = top.object("text_config")?.ok_or_else(|| top.missing("text_config"))?;
            match text.string("model_type")? {
                None | Some("qwen3_5_text") => Ok(text),
                Some(other) => Err(text.unsupported("model_type", other, SUPPORTED)),
            }
        }
        other => Err(top.unsupported("model_type", other, SUPPORTED)),
    }
}

/// Rejects features that load without an error but compute another model.
fn refuse_variants(fields: Fields) -> Result<()> {
    for key in ["quantization_config", "quantization", "compression_config"] {
        if let Some(quantization) = fields.object(key)? {
            let method = quantization.string("quant_method")?.unwrap_or("of unnamed method");
            let hint = "give the original checkpoint, in f32, f16 or bf16";
            return Err(fields.unsupported(key, method, hint));
        }
    }
    match fields.string("hidden_act")? {
        None | Some("silu") => {}
        Some(other) => return Err(fields.unsupported("hidden_act", other, "Qwen3.5 models use silu")),
    }
    match fields.boolean("attention_bias")? {
        None | Some(false) => Ok(()),
        Some(true) => Err(fields.unsupported("attention_bias", true, "Qwen3.5 models have no biases")),
    }
}

/// The rope base theta and the rotated share of a head, from `rope_parameters` or from the keys of older files.
fn rope(text: Fields) -> Result<(f64, f64)> {
    let rope = match text.object("rope_parameters")? {
        Some(rope) => Some(rope),
        None => text.object("rope_scaling")?,
    };
    if let Some(rope) = rope {
        for key in ["rope_type", "type"] {
            if let Some(other) = rope.string(key)?.filter(|kind| *kind != "default") {
                return Err(rope.unsupported(key, other, "only the default rope is computed"));
            }
        }
    }
    let number = |key: &str, good: fn(f64) -> bool, want: &str| -> Result<f64> {
        let place = rope.filter(|rope| rope.get(key).is_some()).unwrap_or(text);
        let found = place.number(key)?.ok_or_else(|| rope.unwrap_or(text).missing(key))?;
        if good(found) { Ok(found) } else { Err(place.bad(key, want, found)) }
    };
    let theta = number("rope_theta", |theta| theta > 1.0 && theta.is_finite(), "a number above 1")?;
    let factor = number("partial_rotary_factor", |factor| factor > 0.0 && factor <= 1.0, "above 0 and at most 1")?;
    Ok((theta, factor))
}

/// `layer_types`; without that list, every `full_attention_interval`-th layer is full.
fn layers(text: Fields) -> Result<Vec<LayerKind>> {
    let count = text.size("num_hidden_layers", max::LAYERS)?;
    let Some(list) = text.get("layer_types") else {
        let interval = text.size("full_attention_interval", max::LAYERS)?;
        let kind = |layer: u32| if (layer + 1).is_multiple_of(interval) { LayerKind::Full } else { LayerKind::Linear };
        return Ok((0..count).map(kind).collect());
    };
    let kind = |value: &Value| match value.as_str() {
        Some("full_attention") => Ok(LayerKind::Full),
        Some("linear_attention") => Ok(LayerKind::Linear),
        _ => Err(text.bad("layer_types", "full_attention or linear_attention", value)),
    };
    let list = list.as_array().ok_or_else(|| text.bad("layer_types", "a list", list))?;
    if list.len() != count as usize {
        let want = format_args!("num_hidden_layers ({count}) entries");
        return Err(text.bad("layer_types", want, list.len()));
    }
    list.iter().map(kind).collect()
}

/// The flag may be at the top level, in `text_config` or in both. If they differ, transformers uses the top level.
fn tied(top: Fields, text: Fields) -> Result<bool> {
    let key = "tie_word_embeddings";
    let flag = match top.boolean(key)? {
        Some(flag) => Some(flag),
        None => text.boolean(key)?,
    };
    flag.ok_or_else(|| top.missing(key))
}
