//! Writes GGUF files for tests: from parts, or from a checkpoint, as a converter would.

use bimetal::{
    Checkpoint,
    low_level::{
        compute::dtype::DType,
        model::{
            checkpoint::expected,
            config::{Config, LayerKind},
        },
    },
};

pub const U32: u32 = 4;
pub const F32: u32 = 6;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;

/// The parts of a file: keys with type and value bytes; tensors with dimensions (innermost first), type and data.
#[derive(Clone)]
pub struct Gguf {
    pub version: u32,
    pub keys: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
    pub alignment: usize,
}

pub fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

pub fn value(kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), bytes].concat()
}

pub fn number(number: u32) -> Vec<u8> {
    value(U32, &number.to_le_bytes())
}

pub fn text(text: &str) -> Vec<u8> {
    value(STRING, &string(text))
}

pub fn list(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let head = [kind.to_le_bytes().as_slice(), &(items.len() as u64).to_le_bytes()].concat();
    value(ARRAY, &[head, items.concat()].concat())
}

impl Gguf {
    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.keys.len() as u64).to_le_bytes());
        self.keys.iter().for_each(|(key, value)| file.extend([string(key), value.clone()].concat()));
        let mut offset = 0_u64;
        for (name, dimensions, kind, data) in &self.tensors {
            file.extend(string(name));
            file.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|size| file.extend(size.to_le_bytes()));
            file.extend(kind.to_le_bytes());
            file.extend(offset.to_le_bytes());
            offset += data.len().next_multiple_of(self.alignment) as u64;
        }
        for (_, _, _, data) in &self.tensors {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
            file.extend(data);
        }
        file
    }

    pub fn key(&mut self, key: &str, value: Vec<u8>) {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value));
    }

    pub fn tensor(&mut self, name: &str) -> &mut (String, Vec<u64>, u32, Vec<u8>) {
        self.tensors.iter_mut().find(|(known, ..)| known == name).unwrap()
    }

    /// A checkpoint's contents as a GGUF file, in the same types.
    pub fn of(checkpoint: &Checkpoint) -> Gguf {
        let config = checkpoint.config();
        let mut file = Gguf { version: 3, keys: keys(config), tensors: Vec::new(), alignment: 32 };
        for tensor in expected(config) {
            let view = checkpoint.tensor(&tensor.name).unwrap();
            let size = view.dtype.bytes() as usize;
            let data = placed(config, &tensor.name, (view.data, size), tiled);
            let mut dimensions: Vec<u64> = view.shape.iter().rev().map(|size| *size as u64).collect();
            let (kind, data) = match view.shape.len() {
                // Tensors other than matrices are stored as f32.
                1 | 3 => (DType::F32, f32s(view.dtype, &data).iter().flat_map(|v| changed(&tensor.name, *v)).collect()),
                _ => (view.dtype, data),
            };
            if dimensions.len() == 3 {
                dimensions.remove(1);
            }
            let kind = match kind {
                DType::F32 => 0,
                DType::F16 => 1,
                _ => 30,
            };
            file.tensors.push((renamed(&tensor.name), dimensions, kind, data));
        }
        file
    }
}

fn f32s(dtype: DType, data: &[u8]) -> Vec<f32> {
    match dtype {
        DType::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        DType::F16 => data.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => data.as_chunks().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect(),
    }
}

fn changed(name: &str, value: f32) -> [u8; 4] {
    let value = match name {
        _ if name.ends_with("A_log") => -value.exp(),
        _ if name.ends_with("norm.weight") && !name.ends_with("linear_attn.norm.weight") => 1.0 + value,
        _ => value,
    };
    value.to_le_bytes()
}

/// Maps a grouped value head to its place among tiled ones, or back.
pub type Order = fn(usize, [usize; 2]) -> usize;

pub fn tiled(place: usize, [keys, each]: [usize; 2]) -> usize {
    place % keys * each + place / keys
}

pub fn grouped(place: usize, [keys, each]: [usize; 2]) -> usize {
    place % each * keys + place / each
}

/// A tensor's elements of `size` bytes, with its value heads reordered.
pub fn placed(config: &Config, name: &str, (data, size): (&[u8], usize), order: Order) -> Vec<u8> {
    let [keys, values] = [config.key_heads, config.value_heads].map(|count| count as usize);
    let (wide, hidden) = (config.value_head_dim as usize, config.hidden as usize);
    let head = match name.rsplit_once("linear_attn.").map(|(_, rest)| rest) {
        Some("in_proj_qkv.weight" | "in_proj_z.weight") => wide * hidden,
        Some("in_proj_b.weight" | "in_proj_a.weight") => hidden,
        Some("conv1d.weight") => wide * config.conv_kernel as usize,
        Some("A_log" | "dt_bias") => 1,
        Some("out_proj.weight") => wide,
        _ => return data.to_vec(),
    } * size;
    let all = |data: &[u8]| -> Vec<u8> {
        let from = |place| order(place, [keys, values / keys]) * head;
        (0..values).flat_map(|place| data[from(place)..from(place) + head].to_vec()).collect()
    };
    match name.ends_with("out_proj.weight") {
        true => data.chunks(values * head).flat_map(all).collect(),
        // Queries and keys come first.
        false => {
            let first = data.len() - values * head;
            [&data[..first], &all(&data[first..])].concat()
        }
    }
}

fn renamed(name: &str) -> String {
    const NAMES: [(&str, &str); 20] = [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("linear_attn.in_proj_qkv", "attn_qkv"),
        ("linear_attn.in_proj_z", "attn_gate"),
        ("linear_attn.in_proj_b", "ssm_beta"),
        ("linear_attn.in_proj_a", "ssm_alpha"),
        ("linear_attn.conv1d", "ssm_conv1d"),
        ("linear_attn.A_log", "ssm_a"),
        ("linear_attn.dt_bias", "ssm_dt.bias"),
        ("linear_attn.norm", "ssm_norm"),
        ("linear_attn.out_proj", "ssm_out"),
    ];
    let Some((layer, rest)) = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) else {
        return match name {
            "embed_tokens.weight" => "token_embd.weight",
            "norm.weight" => "output_norm.weight",
            _ => "output.weight",
        }
        .into();
    };
    let (stem, end) = rest.strip_suffix(".weight").map_or((rest, ""), |stem| (stem, ".weight"));
    let name = NAMES.iter().find(|(known, _)| *known == stem).unwrap().1;
    format!("blk.{layer}.{name}{end}")
}

fn keys(config: &Config) -> Vec<(String, Vec<u8>)> {
    let float = |number: f32| value(F32, &number.to_le_bytes());
    let full = config.layers.iter().position(|kind| *kind == LayerKind::Full).unwrap() as u32 + 1;
    let regular = (1..).zip(&config.layers).all(|(at, kind)| (at % full == 0) == (*kind == LayerKind::Full));
    let keys = [
        ("block_count", number(config.layers.len() as u32)),
        ("context_length", number(config.context)),
        ("embedding_length", number(config.hidden)),
        ("feed_forward_length", number(config.intermediate)),
        ("attention.head_count", number(config.query_heads)),
        ("attention.head_count_kv", number(config.kv_heads)),
        ("attention.key_length", number(config.head_dim)),
        ("attention.value_length", number(config.head_dim)),
        ("attention.layer_norm_rms_epsilon", float(config.epsilon)),
        ("rope.freq_base", float(config.rope_theta as f32)),
        ("rope.dimension_count", number(config.rotary_dim)),
        ("ssm.conv_kernel", number(config.conv_kernel)),
        ("ssm.state_size", number(config.key_head_dim)),
        ("ssm.group_count", number(config.key_heads)),
        ("ssm.time_step_rank", number(config.value_heads)),
        ("ssm.inner_size", number(config.value_width())),
    ];
    let own = keys.into_iter().chain(regular.then(|| ("full_attention_interval", number(full))));
    let own = own.map(|(key, value)| (format!("qwen35.{key}"), value));
    [("general.architecture".to_owned(), text("qwen35"))].into_iter().chain(own).collect()
}
