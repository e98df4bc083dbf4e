//! The state of sequences in each layer: pages of keys and values, or slots of recurrent state. Allocated once.

use std::sync::Arc;

use crate::{
    compute::{backend::Backend, dtype::DType, tensor::Tensor},
    error::{Error, Result},
    kernels::operands::{
        caches::{KvPages, Slots, State},
        heads::{AttentionHeads, DeltaHeads, TAPS},
    },
    model::config::{Config, LayerKind, ValueOrder},
};

/// Tokens per page of keys and values.
pub const PAGE: u32 = 16;

/// The memory of all sequences.
pub struct Cache {
    /// One state per layer of the model.
    pub layers: Vec<State>,
    /// \[context, rotary\] f32: cos and sin of each frequency at each position.
    pub rope: Tensor,
    /// \[slots, pages per context\] u32: the page of each part of the slot's sequence.
    pub tables: Arc<Tensor>,
}

/// The capacity of a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Maximum tokens per sequence.
    pub context: u32,
    /// Number of pages of keys and values, shared by all sequences.
    pub pages: u32,
    /// Number of slots of recurrent state, for sequences and snapshots.
    pub slots: u32,
    /// Type of keys and values: f32, f16 or [`DType::Q8Heads`].
    pub kv: DType,
}

impl Plan {
    /// Plans `sequences` sequences of `context` tokens, or as many tokens as fit in `room` bytes, but at least one such
    /// sequence. `slots` counts sequences and snapshots.
    ///
    /// # Errors
    /// [`Error::Request`] with the largest context that fits, if `context` does not.
    pub fn fit(config: &Config, wanted: Wanted, room: Room) -> Result<Self> {
        let per_sequence = wanted.context.div_ceil(PAGE);
        let smallest = Plan { context: wanted.context, pages: per_sequence, slots: wanted.slots, kv: wanted.kv };
        let max_pages = (room.binding / config.page_bytes(wanted.kv).max(1)).min(u64::from(u32::MAX)) as u32;
        let left = room.bytes.checked_sub(smallest.bytes(config)).filter(|_| per_sequence <= max_pages);
        let Some(left) = left else { return Err(too_large(config, wanted, room)) };
        let attention = u64::from(config.attention_layers()).max(1);
        let spare = left / (2 * attention * config.page_bytes(wanted.kv)).max(1);
        let pages = u64::from(per_sequence) * u64::from(wanted.sequences.max(1));
        let pages = pages.min(u64::from(per_sequence) + spare).min(u64::from(max_pages));
        Ok(Plan { pages: pages as u32, ..smallest })
    }

    /// Total size in bytes.
    pub fn bytes(&self, config: &Config) -> u64 {
        let (attention, linear) = (u64::from(config.attention_layers()), u64::from(config.linear_layers()));
        let heads = config.delta_heads();
        let slot = 4 * (u64::from(TAPS * heads.channels()) + u64::from(heads.state()));
        let rope = u64::from(self.context) * u64::from(config.rotary_dim) * 4;
        let tables = u64::from(self.slots) * u64::from(self.context.div_ceil(PAGE)) * 4;
        attention * 2 * u64::from(self.pages) * config.page_bytes(self.kv)
            + linear * u64::from(self.slots) * slot
            + rope
            + tables
    }
}

/// The requested capacity of a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Maximum tokens per sequence.
    pub context: u32,
    /// Maximum number of sequences at once.
    pub sequences: u32,
    /// Number of slots of recurrent state, for sequences and snapshots.
    pub slots: u32,
    /// Type of keys and values: f32, f16 or [`DType::Q8Heads`].
    pub kv: DType,
}

/// The available memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Bytes for the whole cache.
    pub bytes: u64,
    /// Maximum size of a tensor that a kernel can bind, in bytes.
    pub binding: u64,
}

/// The error for a context that does not fit, with the largest context that does.
fn too_large(config: &Config, wanted: Wanted, room: Room) -> Error {
    let plan = |context: u32| Plan { context, pages: context.div_ceil(PAGE), slots: wanted.slots, kv: wanted.kv };
    let largest_tensor = |plan: &Plan| u64::from(plan.pages) * config.page_bytes(wanted.kv);
    let fits = |plan: &Plan| plan.bytes(config) <= room.bytes && largest_tensor(plan) <= room.binding;
    // Binary search: contexts of `fit` pages fit, contexts of `over` pages do not.
    let (mut fit, mut over) = (0, wanted.context / PAGE + 1);
    while fit + 1 < over {
        let middle = fit.midpoint(over);
        if fits(&plan(middle * PAGE)) { fit = middle } else { over = middle }
    }
    let advice = match fit * PAGE {
        0 => "no context fits: use a smaller model, or --backend cpu".into(),
        context => format!("a context of {context} tokens fits: --context {context}"),
    };
    let (context, needed) = (wanted.context, plan(wanted.context));
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let reason = if needed.bytes(config) > room.bytes {
        format!("{} MiB of cache, and {} MiB are free", mebibytes(needed.bytes(config)), room.bytes >> 20)
    } else {
        let tensor = mebibytes(largest_tensor(&needed));
        format!("{tensor} MiB for the keys of one layer, and the device takes {} MiB in a binding", room.binding >> 20)
    };
    Error::Request(format!("a context of {context} tokens needs {reason}; {advice}"))
}

impl Config {
    /// Bytes of one page of one layer's keys, or of its values.
    fn page_bytes(&self, kv: DType) -> u64 {
        kv.size([PAGE * self.kv_heads, self.head_dim])
    }

    /// The heads of an attention layer.
    pub fn attention_heads(&self) -> AttentionHeads {
        AttentionHeads { query: self.query_heads, kv: self.kv_heads, width: self.head_dim }
    }

    /// The head counts and widths of the DeltaNet layers.
    pub fn delta_heads(&self) -> DeltaHeads {
        let heads = DeltaHeads::grouped([self.key_heads, self.value_heads, self.key_head_dim, self.value_head_dim]);
        match self.value_order {
            ValueOrder::Grouped => heads,
            ValueOrder::Tiled => heads.tiled(),
        }
    }

    fn attention_layers(&self) -> u32 {
        self.layers.iter().filter(|kind| **kind == LayerKind::Full).count() as u32
    }

    fn linear_layers(&self) -> u32 {
        self.layers.len() as u32 - self.attention_layers()
    }
}

impl Cache {
    /// Allocates a cache.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(backend: &Arc<dyn Backend>, config: &Config, plan: &Plan) -> Result<Self> {
        let layers = config.layers.iter().map(|kind| match kind {
            LayerKind::Full => pages(backend, config, plan).map(State::KvPages),
            LayerKind::Linear => slots(backend, config, plan).map(State::Slots),
        });
        let layers = layers.collect::<Result<_>>()?;
        let shape = [plan.context, config.rotary_dim];
        let rope = Tensor::from_slice(backend, shape, DType::F32, "rope table", &angles(config, plan.context))?;
        let width = plan.context.div_ceil(PAGE);
        let tables = vec![0u32; (plan.slots * width) as usize];
        let tables = Tensor::from_slice(backend, [plan.slots, width], DType::U32, "page tables", &tables)?;
        Ok(Self { layers, rope, tables: Arc::new(tables) })
    }
}

fn pages(backend: &Arc<dyn Backend>, config: &Config, plan: &Plan) -> Result<KvPages> {
    let shape = [plan.pages * PAGE * config.kv_heads, config.head_dim];
    let keys = Tensor::new(backend, shape, plan.kv, "keys")?;
    let values = Tensor::new(backend, shape, plan.kv, "values")?;
    Ok(KvPages { keys, values, page_size: PAGE, heads: config.attention_heads() })
}

fn slots(backend: &Arc<dyn Backend>, config: &Config, plan: &Plan) -> Result<Slots> {
    let heads = config.delta_heads();
    let conv_state = Tensor::new(backend, [plan.slots, TAPS * heads.channels()], DType::F32, "convolution state")?;
    let state = Tensor::new(backend, [plan.slots, heads.state()], DType::F32, "recurrent state")?;
    Ok(Slots { conv_state, state, heads })
}

/// cos and sin of position · θ^(−2j/rotary). The product is rounded to f32, as in the reference.
fn angles(config: &Config, context: u32) -> Vec<f32> {
    let half = config.rotary_dim / 2;
    let frequency = |j: u32| 1.0 / (config.rope_theta as f32).powf(2.0 * j as f32 / config.rotary_dim as f32);
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let angle = |position: u32| frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency));
    (0..context).flat_map(|position| angle(position).flat_map(|a| [a.cos() as f32, a.sin() as f32])).collect()
}
