//! The Qwen3.5 text model: layers of gated attention or gated DeltaNet, each followed by a gated MLP.

use std::sync::Arc;

use crate::{
    compute::{dtype::DType, tensor::Tensor},
    kernels::{
        embed::embed,
        gather_rows::gather_rows,
        gdn_decode::Recurrence,
        operands::{
            caches::{KvPages, Slots, State},
            matrix::{Matrix, Normed},
            recorder::Recorder,
            step::{Phase, Rows},
        },
        qk_norm_rope::{QkNorm, qk_norm_rope},
        rms_norm::{Norm, rms_norm, rms_norm_into},
    },
    model::cache::Cache,
    ops::{
        attention::attend,
        delta_net::gated_delta_rule,
        matmul::{For, matmul_add, matmul_into, norm_matmul, norm_matmul_into, norm_swiglu},
    },
};

/// All weights on a device.
pub struct Weights {
    /// \[V, D\]
    pub embed: Arc<Matrix>,
    /// First to last.
    pub layers: Vec<Layer>,
    /// Norm of the final residual stream.
    pub norm: Norm,
    /// \[V, D\]; the embedding if tied.
    pub head: Arc<Matrix>,
    /// The type of activations that matrix products read: f32 for full precision, or f16 for matrix units.
    pub activations: DType,
}

/// One layer.
pub struct Layer {
    /// Norm before the mixer.
    pub norm: Norm,
    /// Attention or DeltaNet.
    pub mixer: Mixer,
    /// Norm before the MLP.
    pub mlp_norm: Norm,
    /// The part that processes each token by itself.
    pub mlp: Mlp,
}

/// The token mixer of a layer.
pub enum Mixer {
    /// Gated full attention.
    Attention(Attention),
    /// Gated DeltaNet.
    DeltaNet(DeltaNet),
}

impl Mixer {
    /// The output projection.
    pub fn out(&self) -> &Matrix {
        match self {
            Mixer::Attention(w) => &w.out,
            Mixer::DeltaNet(w) => &w.out,
        }
    }
}

/// The part of a layer that processes each token by itself.
pub enum Mlp {
    /// One gated MLP for all tokens.
    Dense(GatedMlp),
}

/// A gated MLP: down · (silu(gate · h) · (up · h)).
pub struct GatedMlp {
    /// \[2·I, D\]: gate rows, then up rows.
    pub gate_up: Matrix,
    /// \[D, I\]
    pub down: Matrix,
}

/// Gated full attention.
pub struct Attention {
    /// \[projected, D\]: query and gate rows of each query head, then key rows, then value rows.
    pub qkv: Matrix,
    /// Norms of each query head and each key head.
    pub norm: QkNorm,
    /// \[D, Hq·D\]
    pub out: Matrix,
}

/// Gated DeltaNet.
pub struct DeltaNet {
    /// \[projected, D\]: rows of queries, keys, values, then z, b, a.
    pub qkvzba: Matrix,
    /// Weights between the two projections.
    pub recurrence: Recurrence,
    /// \[D, Hv·Dv\]
    pub out: Matrix,
}

/// Logits of the step's outputs: the requested rows in prefill, every row in decode. logits \[S, V\] f32.
pub fn forward(r: Recorder<'_>, m: &Weights, cache: &mut Cache, logits: &mut Tensor) {
    let x = layers(r, m, cache);
    match r.step.phase() {
        Phase::Prefill => {
            let outputs = r.step.outputs();
            let r = r.with_step(&outputs);
            head(r, m, &gather_rows(r, &x), logits);
        }
        Phase::Decode => norm_matmul_into(r, m.norm.of(&x), &m.head, logits),
    }
}

/// Logits of every prefill row, bit for bit as if the row were an output of [`forward`]. logits \[T, V\] f32.
pub fn forward_every(r: Recorder<'_>, m: &Weights, cache: &mut Cache, logits: &mut Tensor) {
    let x = layers(r, m, cache);
    head(r.with_step(&r.step.with_rows(Rows::Few)), m, &x, logits);
}

/// The last hidden states of a prefill step's outputs: what the head would read. hidden \[S, D\] f32.
pub fn hidden(r: Recorder<'_>, m: &Weights, cache: &mut Cache, hidden: &mut Tensor) {
    let x = layers(r, m, cache);
    let outputs = r.step.outputs();
    let r = r.with_step(&outputs);
    rms_norm_into(r, &gather_rows(r, &x), &m.norm, hidden);
}

/// The residual stream after all layers. → \[T, D\] f32.
fn layers(r: Recorder<'_>, m: &Weights, cache: &mut Cache) -> Tensor {
    let mut x = embed(r, &m.embed);
    for (i, (layer, state)) in m.layers.iter().zip(&mut cache.layers).enumerate() {
        r.mark(format!("hidden.{i}"), &x);
        let h = layer.norm.of(&x);
        let o = match (&layer.mixer, state) {
            (Mixer::Attention(w), State::KvPages(pages)) => attention(r, w, h, pages, &cache.rope),
            (Mixer::DeltaNet(w), State::Slots(slots)) => delta_net(r, w, h, slots),
            _ => unreachable!("a cache is made for its model"),
        };
        matmul_add(r, &mut x, &o, layer.mixer.out());
        match &layer.mlp {
            Mlp::Dense(w) => {
                let h = norm_swiglu(r, layer.mlp_norm.of(&x), &w.gate_up, For(&w.down));
                matmul_add(r, &mut x, &h, &w.down);
            }
        }
    }
    x
}

/// Logits of some prefill rows, with the decode kernels for few rows. x \[T, D\] f32, one row per row of the step.
fn head(r: Recorder<'_>, m: &Weights, x: &Tensor, logits: &mut Tensor) {
    let h = rms_norm(r, x, &m.norm);
    r.mark("final_norm", &h);
    matmul_into(r, &h, &m.head, logits);
}

/// Gated attention: projection, norm and rope and cache write, attention and gate. → \[T, Hq·D\]
fn attention(r: Recorder<'_>, w: &Attention, h: Normed<'_>, pages: &mut KvPages, rope: &Tensor) -> Tensor {
    let x = norm_matmul(r, h, &w.qkv);
    let q = qk_norm_rope(r, &x, &w.norm, rope, pages);
    attend(r, &q, &x, pages, For(&w.out))
}

/// Gated delta rule: projection, convolution and gates, recurrence, gated norm. → \[T, Hv·Dv\]
fn delta_net(r: Recorder<'_>, w: &DeltaNet, h: Normed<'_>, slots: &mut Slots) -> Tensor {
    let x = norm_matmul(r, h, &w.qkvzba);
    gated_delta_rule(r, &x, &w.recurrence, slots, For(&w.out))
}
