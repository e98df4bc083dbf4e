//! Loads weights from a checkpoint to a device, tensor by tensor, without a second copy of the model in host memory.

pub(crate) mod convert;
pub mod quantize;
mod random;
mod sizes;
mod source;
mod upload;

use std::{ops::Range, sync::Arc, thread};

use super::{
    Precision,
    config::{Config, LayerKind},
    qwen3_5::{self, Attention, DeltaNet, GatedMlp, Layer, Mixer, Mlp},
};
use crate::{
    compute::{
        backend::Backend,
        caps::DequantizeFirst,
        dtype::{DType, Planes},
        tensor::Tensor,
    },
    error::{Error, Result},
    kernels::{
        gdn_decode::Recurrence,
        operands::{heads::TAPS, matrix::Matrix},
        qk_norm_rope::QkNorm,
        rms_norm::Norm,
    },
};
use convert::Found;
use quantize::{Target, Weighted, is_quantized};
pub use source::Source;
use source::Stored;
use upload::{Uploader, Values};

/// Load progress: bytes done, and bytes in total.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// All weights of a model on a device, one variant per model family.
pub enum Weights {
    /// The Qwen3.5 family.
    Qwen3_5(qwen3_5::Weights),
}

impl Weights {
    /// Loads all weights onto a device.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for a weight that is missing, not finite or of a wrong shape; [`crate::Error::Request`]
    /// for an impossible target format; [`crate::Error::OutOfMemory`].
    pub fn load(
        backend: &Arc<dyn Backend>,
        source: &Source<'_>,
        precision: Precision,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let config = source.config();
        let (activations, quant) = (precision.activations_on(backend.caps()), precision.weights);
        source.require_form(quant)?;
        let to_f16 = activations == DType::F16 && backend.caps().matrix_units.is_some();
        thread::scope(|scope| {
            let uploader = Uploader::new(scope);
            let mut loader = Loader { backend, source, config, to_f16, quant, done: 0, progress, uploader };
            let loaded = loader.weights(activations);
            loader.uploader.finish().and(loaded).map(Self::Qwen3_5)
        })
    }

    /// The type of activations that matrix products read: f32 for full precision, or f16 for matrix units.
    pub fn activations(&self) -> DType {
        match self {
            Self::Qwen3_5(weights) => weights.activations,
        }
    }

    /// Size in bytes; a tied output head counts once.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Qwen3_5(weights) => weights.bytes(),
        }
    }

    /// The largest output width of a matrix product inside a layer.
    pub fn widest(&self) -> u64 {
        match self {
            Self::Qwen3_5(weights) => weights.widest(),
        }
    }

    /// Maximum bytes of scratch memory that one matrix product needs on matrix units. `rows` holds the rows of a
    /// prefill step, and the rows of the output head.
    pub fn dequantized_bytes(&self, rows: [u32; 2], limits: Option<DequantizeFirst>) -> u64 {
        match self {
            Self::Qwen3_5(weights) => weights.dequantized_bytes(rows, limits),
        }
    }
}

/// Uploads tensors of one source.
struct Loader<'a, 'p, 's> {
    backend: &'a Arc<dyn Backend>,
    source: &'a Source<'a>,
    config: &'a Config,
    /// Whether to convert matrices to f16, if all their values fit.
    to_f16: bool,
    /// Target format of large matrices.
    quant: Option<DType>,
    done: u64,
    progress: &'a mut Progress<'p>,
    uploader: Uploader<'s>,
}

/// A tensor's name and its shape as a matrix.
type Named = (String, [u32; 2]);

/// Why a tensor could not be loaded.
enum Trouble {
    /// Some values of this tensor are too large for f16.
    Wide(String),
    Other(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Loader<'_, '_, '_> {
    fn weights(&mut self, activations: DType) -> Result<qwen3_5::Weights> {
        let vocabulary = [self.config.vocabulary, self.config.hidden];
        let embed = Arc::new(self.matrix(&[("embed_tokens.weight".into(), vocabulary)])?);
        let layers = (0..self.config.layers.len()).map(|i| self.layer(i)).collect::<Result<_>>()?;
        let norm = self.norm("norm.weight".into(), self.config.hidden)?;
        let head = match self.config.tied {
            true => embed.clone(),
            false => Arc::new(self.matrix(&[("lm_head.weight".into(), vocabulary)])?),
        };
        Ok(qwen3_5::Weights { embed, layers, norm, head, activations })
    }

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
            mlp: Mlp::Dense(GatedMlp {
                gate_up: self.matrix(&gate_up)?,
                down: self.matrix(&[(name("mlp.down_proj.weight"), [hidden, inner])])?,
            }),
        })
    }

    fn attention(&mut self, name: impl Fn(&str) -> String) -> Result<Attention> {
        let Config { hidden, query_heads, kv_heads, head_dim, .. } = *self.config;
        let qkv = [("q_proj.weight", 2 * query_heads), ("k_proj.weight", kv_heads), ("v_proj.weight", kv_heads)];
        let qkv = qkv.map(|(rest, count)| (name(rest), [count * head_dim, hidden]));
        Ok(Attention {
            qkv: self.matrix(&qkv)?,
            norm: QkNorm {
                weights: self.f32s(&["q_norm.weight", "k_norm.weight"].map(|rest| (name(rest), [1, head_dim])))?,
                eps: self.config.epsilon,
            },
            out: self.matrix(&[(name("o_proj.weight"), [hidden, query_heads * head_dim])])?,
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
                a_dt: self.f32s(&["A_log", "dt_bias"].map(|rest| (name(rest), [1, heads.value])))?,
                norm: self.norm(name("norm.weight"), heads.value_width)?,
            },
            out: self.matrix(&[(name("out_proj.weight"), [hidden, heads.values()])])?,
        })
    }

    fn norm(&mut self, name: String, width: u32) -> Result<Norm> {
        Ok(Norm { weight: self.tensor(name, [1, width])?, eps: self.config.epsilon })
    }

    fn tensor(&mut self, name: String, shape: [u32; 2]) -> Result<Tensor> {
        let named = [(name, shape)];
        let mut parts = self.parts(&named, |stored| stored.dtype).map_err(|trouble| match trouble {
            Trouble::Other(error) => error,
            Trouble::Wide(_) => unreachable!("values fit their own type"),
        })?;
        Ok(parts.pop().expect("a tensor has a part"))
    }

    fn matrix(&mut self, named: &[Named]) -> Result<Matrix> {
        let mut wide: Vec<String> = Vec::new();
        loop {
            let (to_f16, quant) = (self.to_f16, self.quant);
            let to = |stored: &Stored<'_>| match quant.filter(|_| is_quantized(stored.name, stored.width)) {
                _ if stored.dtype.is_quantized() || wide.iter().any(|name| name == stored.name) => stored.dtype,
                Some(quant) => quant,
                None if to_f16 => DType::F16,
                None => stored.dtype,
            };
            match self.parts(named, to) {
                Ok(parts) => return Ok(Matrix::new(parts)),
                Err(Trouble::Other(error)) => return Err(error),
                Err(Trouble::Wide(name)) => {
                    log::warn!("{name} has values too large for f16: it stays {}", self.source.dtype(&name)?);
                    wide.push(name);
                }
            }
        }
    }

    /// Loads consecutive tensors, each in the type that `to` returns. Joins them as far as their types and the largest
    /// binding allow.
    fn parts(
        &mut self,
        named: &[Named],
        to: impl Fn(&Stored<'_>) -> DType,
    ) -> std::result::Result<Vec<Tensor>, Trouble> {
        let source = self.source;
        let caps = self.backend.caps();
        let max_bytes = caps.max_binding.min(caps.max_buffer);
        let stored = named.iter().map(|(name, shape)| {
            let stored = source.tensor(name, *shape)?;
            Ok(Stored { to: to(&stored), ..stored })
        });
        let mut parts = Vec::new();
        for run in stored.collect::<Result<Vec<_>>>()?.chunk_by(|a, b| a.to == b.to) {
            let (dtype, width) = (run[0].to, run[0].width);
            let row = dtype.size([1, width]);
            let rows: u32 = run.iter().map(|stored| stored.rows).sum();
            // Split at multiples of four rows, since kernels store outputs four at a time.
            let share = u32::try_from(max_bytes / row).unwrap_or(u32::MAX);
            let share = if share < 4 { share.max(1) } else { share / 4 * 4 }.min(rows);
            for first in (0..rows).step_by(share as usize) {
                let shape = [share.min(rows - first), width];
                let tensor = Tensor::new(self.backend, shape, dtype, &named[0].0)?;
                match dtype.is_quantized() {
                    _ if matches!(source, Source::Shapes(_)) => {}
                    true => self.upload_quantized(run, &tensor, first)?,
                    false => self.upload(run, &tensor, first)?,
                }
                parts.push(tensor);
            }
        }
        self.note(named)?;
        Ok(parts)
    }

    /// Uploads the part of a run of stored tensors that belongs into `tensor`. Row `first` of the run is its first row.
    fn upload(&mut self, run: &[Stored<'_>], tensor: &Tensor, first: u32) -> std::result::Result<(), Trouble> {
        for (stored, rows, to) in shares(run, tensor, first) {
            let bytes = stored.row_bytes(&rows);
            let at = u64::from(to) * u64::from(tensor.width()) * stored.to.bytes();
            let values = Values { from: stored.dtype, to: stored.to, data: &stored.data[bytes.clone()] };
            let release = release(self.source, stored.name, bytes.start);
            let found = self.uploader.upload(values, (tensor.buffer(), at), release)?;
            self.judge(found, stored.name)?;
        }
        Ok(())
    }

    /// Like `upload`, for quantized weights. Uploads the codes section by section and the scales at the end.
    fn upload_quantized(
        &mut self,
        run: &[Stored<'_>],
        tensor: &Tensor,
        first: u32,
    ) -> std::result::Result<(), Trouble> {
        let shape = [tensor.rows(), tensor.width()];
        let mut target = Target::new(tensor.buffer(), Planes::of(tensor.dtype(), shape));
        for (stored, rows, to) in shares(run, tensor, first) {
            let bytes = stored.row_bytes(&rows);
            let release = release(self.source, stored.name, bytes.start);
            let weights = Weighted {
                from: stored.dtype,
                to: stored.to,
                width: stored.width,
                data: &stored.data[bytes],
                scales: stored.scales.of_rows(rows.start as usize..rows.end as usize, stored.rows as usize),
            };
            let found = self.uploader.quantize(weights, (&mut target, to as usize), release)?;
            self.judge(found, stored.name)?;
        }
        Ok(self.uploader.complete(target)?)
    }

    fn judge(&self, found: Found, name: &str) -> std::result::Result<(), Trouble> {
        match found {
            Found::Fit => Ok(()),
            Found::Wide => Err(Trouble::Wide(name.into())),
            Found::NotFinite => Ok(self.source.require_finite(name)?),
        }
    }

    /// Small tensors that a kernel binds together, joined as one f32 tensor.
    fn f32s(&mut self, named: &[Named]) -> Result<Tensor> {
        let source = self.source;
        let stored = named.iter().map(|(name, shape)| {
            source.require_finite(name)?;
            source.tensor(name, *shape)
        });
        let stored = stored.collect::<Result<Vec<_>>>()?;
        let shape = [stored.iter().map(|stored| stored.rows).sum(), stored[0].width];
        let tensor = Tensor::new(self.backend, shape, DType::F32, &named[0].0)?;
        if !matches!(source, Source::Shapes(_)) {
            tensor.write(0, &stored.iter().flat_map(Stored::f32s).collect::<Vec<_>>())?;
        }
        self.note(named)?;
        Ok(tensor)
    }

    /// Reports the bytes of these tensors as done.
    fn note(&mut self, named: &[Named]) -> Result<()> {
        for (name, [rows, width]) in named {
            self.done += self.source.dtype(name)?.size([*rows, *width]);
        }
        (self.progress)(self.done, self.source.bytes());
        Ok(())
    }
}

/// The parts of a run of stored tensors that belong into `tensor`, whose first row is row `first` of the run. Each
/// part: the stored tensor, its rows, and their first row in `tensor`.
fn shares<'r, 's>(
    run: &'r [Stored<'s>],
    tensor: &Tensor,
    first: u32,
) -> impl Iterator<Item = (&'r Stored<'s>, Range<u32>, u32)> + use<'r, 's> {
    let (last, mut start) = (first + tensor.rows(), 0);
    run.iter().filter_map(move |stored| {
        let (from, to) = (start.max(first), (start + stored.rows).min(last));
        let rows = from.saturating_sub(start)..to.saturating_sub(start);
        start += stored.rows;
        (from < to).then_some((stored, rows, from.saturating_sub(first)))
    })
}

/// A callback that releases pages of a stored tensor; its ranges count from byte `start` of the tensor.
fn release<'a>(source: &'a Source<'a>, name: &'a str, start: usize) -> impl Fn(Range<usize>) + 'a {
    move |part| source.release(name, start + part.start..start + part.end)
}
