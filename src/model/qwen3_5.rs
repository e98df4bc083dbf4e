//! The Qwen3.5 text model: layers of gated attention or gated DeltaNet, each followed by a gated MLP.

use std::sync::Arc;

use crate::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{
        attend_decode::attend_decode,
        attend_merge::attend_merge,
        embed::embed,
        gated_rms_norm::gated_rms_norm,
        gather_rows::gather_rows,
        gdn_conv::gdn_conv,
        gdn_decode::{Recurrence, gdn_decode},
        operands::{
            caches::{KvPages, Slots, State},
            heads::{AttentionHeads, DeltaHeads},
            matrix::{Matrix, Normed},
            step::{Phase, Rows, Step},
        },
        qk_norm_rope::{QkNorm, qk_norm_rope},
        rms_norm::{Norm, rms_norm},
    },
    model::cache::Cache,
    ops::{
        attention::attend_prefill,
        delta_net::gdn_prefill,
        matmul::{matmul_add, matmul_into, norm_matmul, norm_matmul_into, norm_swiglu, takes},
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
    /// Input type of matrix products: f32 for full precision, or f16 for matrix units.
    pub inputs: DType,
}

/// One layer.
pub struct Layer {
    /// Norm before the mixer.
    pub norm: Norm,
    /// Attention or DeltaNet.
    pub mixer: Mixer,
    /// Norm before the MLP.
    pub mlp_norm: Norm,
    /// \[2·I, D\]: gate rows, then up rows.
    pub gate_up: Matrix,
    /// \[D, I\]
    pub down: Matrix,
}

/// The token mixer of a layer.
pub enum Mixer {
    /// Gated full attention.
    Attention(Attention),
    /// Gated DeltaNet.
    DeltaNet(DeltaNet),
}

/// Gated full attention.
pub struct Attention {
    /// \[projected, D\]: query and gate rows of each query head, then key rows, then value rows.
    pub qkv: Matrix,
    /// Norms of each query head and each key head.
    pub norm: QkNorm,
    /// \[D, Hq·D\]
    pub out: Matrix,
    /// Head counts and width.
    pub heads: AttentionHeads,
}

/// Gated DeltaNet.
pub struct DeltaNet {
    /// \[projected, D\]: rows of queries, keys, values, then z, b, a.
    pub qkvzba: Matrix,
    /// Weights between the two projections.
    pub recurrence: Recurrence,
    /// \[D, Hv·Dv\]
    pub out: Matrix,
    /// Head counts and widths.
    pub heads: DeltaHeads,
}

/// Logits of the step's outputs: the requested rows in prefill, every row in decode. logits \[S, V\] f32.
pub fn forward(p: &Pass, m: &Weights, cache: &mut Cache, step: &Step, logits: &mut Tensor) {
    let x = layers(p, m, cache, step);
    match step.phase() {
        Phase::Prefill => {
            let last = step.outputs();
            head(p, m, &last, &gather_rows(p, &last, &x), logits);
        }
        Phase::Decode => {
            norm_matmul_into(p, step, Normed { x: &x, norm: &m.norm, inputs: m.inputs }, &m.head, logits);
        }
    }
}

/// Logits of every prefill row, bit for bit as if the row were an output of [`forward`]. logits \[T, V\] f32.
pub fn forward_every(p: &Pass, m: &Weights, cache: &mut Cache, step: &Step, logits: &mut Tensor) {
    let x = layers(p, m, cache, step);
    head(p, m, &step.with_rows(Rows::Few), &x, logits);
}

/// The residual stream after all layers. → \[T, D\] f32.
fn layers(p: &Pass, m: &Weights, cache: &mut Cache, step: &Step) -> Tensor {
    let mut x = embed(p, step, &m.embed);
    for (i, (layer, state)) in m.layers.iter().zip(&mut cache.layers).enumerate() {
        p.mark(format!("hidden.{i}"), &x);
        let h = Normed { x: &x, norm: &layer.norm, inputs: m.inputs };
        let (o, out) = match (&layer.mixer, state) {
            (Mixer::Attention(w), State::KvPages(pages)) => (attention(p, step, w, h, (pages, &cache.rope)), &w.out),
            (Mixer::DeltaNet(w), State::Slots(slots)) => (delta_net(p, step, w, h, slots), &w.out),
            _ => unreachable!("a cache is made for its model"),
        };
        matmul_add(p, step, &mut x, &o, out);
        let inputs = takes(p, step, &layer.down, (m.inputs, layer.gate_up.run()));
        let h = norm_swiglu(p, step, Normed { x: &x, norm: &layer.mlp_norm, inputs }, &layer.gate_up);
        matmul_add(p, step, &mut x, &h, &layer.down);
    }
    x
}

/// Logits of some prefill rows, with the decode kernels for few rows. x \[T, D\] f32, one row per row of `step`.
fn head(p: &Pass, m: &Weights, step: &Step, x: &Tensor, logits: &mut Tensor) {
    let h = rms_norm(p, step, x, &m.norm, m.inputs);
    p.mark("final_norm", &h);
    matmul_into(p, step, &h, &m.head, logits);
}

/// Gated attention: projection, norm and rope and cache write, attention, gate.
fn attention(p: &Pass, step: &Step, w: &Attention, h: Normed<'_>, cache: (&mut KvPages, &Tensor)) -> Tensor {
    let (pages, rope) = cache;
    let x = norm_matmul(p, step, h, &w.qkv);
    let q = qk_norm_rope(p, step, &x, (&w.norm, rope, w.heads), pages);
    match step.phase() {
        Phase::Prefill => attend_prefill(p, step, (&q, &x), pages, (w.heads, h.inputs)),
        Phase::Decode => {
            let parts = attend_decode(p, step, &q, pages, w.heads);
            let inputs = takes(p, step, &w.out, (h.inputs, w.heads.width));
            attend_merge(p, step, &parts, &x, (w.heads, inputs))
        }
    }
}

/// Gated delta rule: projection, convolution and gates, recurrence, gated norm.
fn delta_net(p: &Pass, step: &Step, w: &DeltaNet, h: Normed<'_>, slots: &mut Slots) -> Tensor {
    let x = norm_matmul(p, step, h, &w.qkvzba);
    match step.phase() {
        Phase::Prefill => {
            let mixed = gdn_conv(p, step, &x, (&w.recurrence.conv, &w.recurrence.a_dt), slots);
            let o = gdn_prefill(p, step, &mixed, slots, h.inputs);
            gated_rms_norm(p, step, (&o, &x), &w.recurrence.norm, (w.heads, h.inputs))
        }
        Phase::Decode => {
            let inputs = takes(p, step, &w.out, (h.inputs, w.heads.value_width));
            gdn_decode(p, step, &x, &w.recurrence, (slots, inputs))
        }
    }
}
