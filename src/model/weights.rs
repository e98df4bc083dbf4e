//! From a checkpoint to a device: one tensor after the other, no second copy of the model in host memory.

use std::{borrow::Cow, sync::Arc};

use super::{
    checkpoint::Checkpoint,
    config::{Config, LayerKind},
    halves,
    qwen3_5::{Attention, DeltaNet, Layer, Mixer, Weights},
};
use crate::{
    backend::Backend,
    dtype::DType,
    error::Result,
    kernels::{
        gdn_conv::TAPS,
        gdn_decode::Recurrence,
        qk_norm_rope::{Heads, QkNorm},
        rms_norm::Norm,
    },
    matrix::Matrix,
    tensor::Tensor,
};

/// Told how many bytes are done, of how many.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Where weights come from.
pub enum Source<'a> {
    /// A checkpoint on disk or in memory.
    Checkpoint(&'a Checkpoint),
    /// Random ones of a shape, for measurements.
    Random(&'a Config),
    /// The shapes and types of another source without what they hold, for recordings that are never run.
    Shapes(&'a Source<'a>),
}

/// One tensor of a source, as a matrix.
struct Stored<'a> {
    dtype: DType,
    rows: u32,
    width: u32,
    data: Cow<'a, [u8]>,
}

impl Stored<'_> {
    /// Its elements in full precision.
    fn singles(&self) -> Vec<f32> {
        let halves = self.data.as_chunks().0.iter();
        match self.dtype {
            DType::F16 => halves.map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect(),
            DType::Bf16 => halves.map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect(),
            DType::F32 | DType::U32 => self.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        }
    }
}

impl Source<'_> {
    /// The model's shape.
    pub fn config(&self) -> &Config {
        match self {
            Source::Checkpoint(checkpoint) => checkpoint.config(),
            Source::Random(config) => config,
            Source::Shapes(source) => source.config(),
        }
    }

    /// A tensor of a known shape, checked to be finite.
    fn tensor(&self, name: &str, [rows, width]: [u32; 2]) -> Result<Stored<'_>> {
        match self {
            Source::Checkpoint(checkpoint) => {
                let view = checkpoint.tensor(name)?;
                view.require_finite()?;
                Ok(Stored { dtype: view.dtype, rows, width, data: Cow::Borrowed(view.data) })
            }
            Source::Random(_) => Ok(Stored { dtype: DType::Bf16, rows, width, data: random(name, rows, width).into() }),
            Source::Shapes(source) => Ok(Stored { dtype: source.dtype(name)?, rows, width, data: Cow::Borrowed(&[]) }),
        }
    }

    /// The type that a tensor is stored in.
    fn dtype(&self, name: &str) -> Result<DType> {
        match self {
            Source::Checkpoint(checkpoint) => Ok(checkpoint.tensor(name)?.dtype),
            Source::Random(_) => Ok(DType::Bf16),
            Source::Shapes(source) => source.dtype(name),
        }
    }

    /// Size of all its tensors in bytes.
    fn bytes(&self) -> u64 {
        match self {
            Source::Checkpoint(checkpoint) => checkpoint.summary().bytes.values().sum(),
            Source::Random(config) => 2 * config.parameters(),
            Source::Shapes(_) => 0,
        }
    }

    fn release(&self, name: &str) {
        if let Source::Checkpoint(checkpoint) = self {
            checkpoint.tensor(name).iter().for_each(|view| checkpoint.release(view));
        }
    }
}

/// How many random values are made before they repeat: enough that rows differ.
const PERIOD: usize = 65_537;

/// Values with the spread that keeps activations near one, the same whenever the same tensor is asked for.
fn random(name: &str, rows: u32, width: u32) -> Vec<u8> {
    let spread = if rows == 1 { 0.25 } else { 1.7 / (width as f32).sqrt() };
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3) // FNV-1a
    });
    let period = (0..PERIOD).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); // Knuth's MMIX
        let unit = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        half::bf16::from_f32(unit * spread).to_le_bytes()
    });
    let period: Vec<u8> = period.collect();
    let bytes = 2 * rows as usize * width as usize;
    let mut data = period.repeat(bytes.div_ceil(period.len()));
    data.truncate(bytes);
    data
}

impl Weights {
    /// Puts all weights on a device.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for weights that are missing, misshapen or not finite; [`crate::Error::OutOfMemory`].
    pub fn load(
        backend: &Arc<dyn Backend>,
        source: &Source<'_>,
        inputs: DType,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let config = source.config();
        let halves = inputs == DType::F16 && backend.caps().matrix_units.is_some();
        let mut loader = Loader { backend, source, config, halves, done: 0, progress };
        let vocabulary = [config.vocabulary, config.hidden];
        let embed = Arc::new(loader.matrix(&[("embed_tokens.weight".into(), vocabulary)])?);
        let layers = (0..config.layers.len()).map(|i| loader.layer(i)).collect::<Result<_>>()?;
        let norm = loader.norm("norm.weight".into(), config.hidden)?;
        let head = match config.tied {
            true => embed.clone(),
            false => Arc::new(loader.matrix(&[("lm_head.weight".into(), vocabulary)])?),
        };
        Ok(Self { embed, layers, norm, head, inputs })
    }
}

/// Uploads tensors of one source.
struct Loader<'a, 'p> {
    backend: &'a Arc<dyn Backend>,
    source: &'a Source<'a>,
    config: &'a Config,
    /// Whether matrices are wanted in half precision, as far as their values have one.
    halves: bool,
    done: u64,
    progress: &'a mut Progress<'p>,
}

/// A tensor's name and its shape as a matrix.
type Named = (String, [u32; 2]);

impl Loader<'_, '_> {
    fn layer(&mut self, i: usize) -> Result<Layer> {
        let (hidden, inner) = (self.config.hidden, self.config.intermediate);
        let name = |rest: &str| format!("layers.{i}.{rest}");
        let mixer = match self.config.layers[i] {
            LayerKind::Full => Mixer::Attention(self.attention(|rest| name(&format!("self_attn.{rest}")))?),
            LayerKind::Linear => Mixer::DeltaNet(self.delta_net(|rest| name(&format!("linear_attn.{rest}")))?),
        };
        let gate_up = [(name("mlp.gate_proj.weight"), [inner, hidden]), (name("mlp.up_proj.weight"), [inner, hidden])];
        Ok(Layer {
            norm: self.norm(name("input_layernorm.weight"), hidden)?,
            mixer,
            mlp_norm: self.norm(name("post_attention_layernorm.weight"), hidden)?,
            gate_up: self.matrix(&gate_up)?,
            down: self.matrix(&[(name("mlp.down_proj.weight"), [hidden, inner])])?,
        })
    }

    fn attention(&mut self, name: impl Fn(&str) -> String) -> Result<Attention> {
        let Config { hidden, query_heads, kv_heads, head_dim, .. } = *self.config;
        let heads = Heads { query: query_heads, kv: kv_heads, width: head_dim };
        let qkv = [("q_proj.weight", 2 * query_heads), ("k_proj.weight", kv_heads), ("v_proj.weight", kv_heads)];
        let qkv = qkv.map(|(rest, count)| (name(rest), [count * head_dim, hidden]));
        Ok(Attention {
            qkv: self.matrix(&qkv)?,
            norm: QkNorm {
                weights: self.singles(&["q_norm.weight", "k_norm.weight"].map(|rest| (name(rest), [1, head_dim])))?,
                eps: self.config.epsilon,
            },
            out: self.matrix(&[(name("o_proj.weight"), [hidden, query_heads * head_dim])])?,
            heads,
        })
    }

    fn delta_net(&mut self, name: impl Fn(&str) -> String) -> Result<DeltaNet> {
        let (hidden, heads) = (self.config.hidden, self.config.delta_heads());
        let parts = [
            ("in_proj_qkv.weight", heads.channels()),
            ("in_proj_z.weight", heads.values()),
            ("in_proj_b.weight", heads.value),
            ("in_proj_a.weight", heads.value),
        ];
        Ok(DeltaNet {
            qkvzba: self.matrix(&parts.map(|(rest, rows)| (name(rest), [rows, hidden])))?,
            recurrence: Recurrence {
                conv: self.tensor(name("conv1d.weight"), [heads.channels(), TAPS])?,
                a_dt: self.singles(&["A_log", "dt_bias"].map(|rest| (name(rest), [1, heads.value])))?,
                norm: self.norm(name("norm.weight"), heads.value_width)?,
            },
            out: self.matrix(&[(name("out_proj.weight"), [hidden, heads.values()])])?,
            heads,
        })
    }

    fn norm(&mut self, name: String, width: u32) -> Result<Norm> {
        Ok(Norm { weight: self.tensor(name, [1, width])?, eps: self.config.epsilon })
    }

    fn tensor(&mut self, name: String, shape: [u32; 2]) -> Result<Tensor> {
        let stored = self.source.tensor(&name, shape)?;
        let mut parts = self.parts(&[(name, shape)], vec![stored])?;
        Ok(parts.pop().expect("a tensor has a part"))
    }

    fn matrix(&mut self, named: &[Named]) -> Result<Matrix> {
        let stored = named.iter().map(|(name, shape)| {
            let stored = self.source.tensor(name, *shape)?;
            if !self.halves || stored.dtype == DType::F16 {
                return Ok(stored);
            }
            if !halves::fit(stored.dtype, &stored.data) {
                log::warn!("{name} has values that half precision does not: it stays {}", stored.dtype);
                return Ok(stored);
            }
            let data = halves::convert(stored.dtype, &stored.data);
            self.source.release(name);
            Ok(Stored { dtype: DType::F16, data: data.into(), ..stored })
        });
        let stored = stored.collect::<Result<Vec<_>>>()?;
        self.parts(named, stored).map(Matrix::new)
    }

    /// Tensors that follow each other, put together as far as their dtype and the largest binding allow.
    fn parts(&mut self, named: &[Named], stored: Vec<Stored<'_>>) -> Result<Vec<Tensor>> {
        let source = self.source;
        let caps = self.backend.caps();
        let most = caps.max_binding.min(caps.max_buffer);
        let mut parts = Vec::new();
        for run in stored.chunk_by(|a, b| a.dtype == b.dtype) {
            let (dtype, width) = (run[0].dtype, run[0].width);
            let row = u64::from(width) * dtype.bytes();
            let rows: u32 = run.iter().map(|stored| stored.rows).sum();
            // Whole quads of rows, since a kernel that stores what becomes of them stores quads.
            let share = u32::try_from(most / row).unwrap_or(u32::MAX);
            let share = if share < 4 { share.max(1) } else { share / 4 * 4 }.min(rows);
            for first in (0..rows).step_by(share as usize) {
                let shape = [share.min(rows - first), width];
                let tensor = Tensor::new(self.backend, shape, dtype, &named[0].0)?;
                if !matches!(source, Source::Shapes(_)) {
                    copy_rows(run, &tensor, first)?;
                }
                parts.push(tensor);
            }
        }
        self.note(named)?;
        Ok(parts)
    }

    /// Small tensors that a kernel binds together, as one in full precision.
    fn singles(&mut self, named: &[Named]) -> Result<Tensor> {
        let source = self.source;
        let stored = named.iter().map(|(name, shape)| source.tensor(name, *shape)).collect::<Result<Vec<_>>>()?;
        let shape = [stored.iter().map(|stored| stored.rows).sum(), stored[0].width];
        let tensor = Tensor::new(self.backend, shape, DType::F32, &named[0].0)?;
        if !matches!(source, Source::Shapes(_)) {
            tensor.write(0, &stored.iter().flat_map(Stored::singles).collect::<Vec<_>>())?;
        }
        self.note(named)?;
        Ok(tensor)
    }

    /// Notes that some tensors are where they belong.
    fn note(&mut self, named: &[Named]) -> Result<()> {
        for (name, [rows, width]) in named {
            self.done += u64::from(*rows) * u64::from(*width) * self.source.dtype(name)?.bytes();
            self.source.release(name);
        }
        (self.progress)(self.done, self.source.bytes());
        Ok(())
    }
}

/// Writes the rows of a run of stored tensors that belong into `tensor`, whose first row is row `first` of the run.
fn copy_rows(run: &[Stored<'_>], tensor: &Tensor, first: u32) -> Result<()> {
    let row = u64::from(tensor.width()) * tensor.dtype().bytes();
    let last = first + tensor.rows();
    let mut start = 0;
    for stored in run {
        let (from, to) = (start.max(first), (start + stored.rows).min(last));
        if from < to {
            let bytes = (u64::from(from - start) * row) as usize..(u64::from(to - start) * row) as usize;
            tensor.buffer().write(u64::from(from - first) * row, &stored.data[bytes])?;
        }
        start += stored.rows;
    }
    Ok(())
}

impl Weights {
    /// Size in bytes; a tied head counts once.
    pub fn bytes(&self) -> u64 {
        let tied = Arc::ptr_eq(&self.embed, &self.head);
        let head = if tied { 0 } else { self.head.bytes() };
        self.embed.bytes() + head + self.norm.weight.bytes() + self.layers.iter().map(Layer::bytes).sum::<u64>()
    }

    /// The largest number of outputs of a product inside a layer.
    pub fn widest(&self) -> u64 {
        self.layers.iter().map(|layer| u64::from(layer.gate_up.rows().max(layer.projected()))).max().unwrap_or(0)
    }
}

impl Layer {
    fn projected(&self) -> u32 {
        match &self.mixer {
            Mixer::Attention(w) => w.qkv.rows(),
            Mixer::DeltaNet(w) => w.qkvzba.rows(),
        }
    }

    fn bytes(&self) -> u64 {
        let mixer = match &self.mixer {
            Mixer::Attention(w) => w.qkv.bytes() + w.out.bytes() + w.norm.weights.bytes(),
            Mixer::DeltaNet(w) => {
                let small = [&w.recurrence.conv, &w.recurrence.a_dt, &w.recurrence.norm.weight];
                w.qkvzba.bytes() + w.out.bytes() + small.iter().map(|tensor| tensor.bytes()).sum::<u64>()
            }
        };
        let norms = self.norm.weight.bytes() + self.mlp_norm.weight.bytes();
        mixer + norms + self.gate_up.bytes() + self.down.bytes()
    }
}

impl Config {
    /// Parameters of the model; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        let heads = self.delta_heads();
        let [hidden, inner, head] = [self.hidden, self.intermediate, self.head_dim].map(u64::from);
        let attention =
            u64::from(2 * self.query_heads + 2 * self.kv_heads + self.query_heads) * head * hidden + 2 * head;
        let linear = u64::from(heads.projected() + heads.values()) * hidden
            + u64::from(TAPS * heads.channels() + 2 * heads.value + heads.value_width);
        let layer = |kind: &LayerKind| {
            3 * inner * hidden + 2 * hidden + if *kind == LayerKind::Full { attention } else { linear }
        };
        let tables = u64::from(self.vocabulary) * hidden * if self.tied { 1 } else { 2 };
        tables + hidden + self.layers.iter().map(layer).sum::<u64>()
    }
}
