//! y\[t, c\] = silu(Σ_j w\[c, j\] · x\[t − 3 + j, c\]); then per head q, k = l2norm(q)/√Dk, l2norm(k). The gates:
//! log decay\[t, h\] = −exp(a_log\[h\]) · softplus(a\[t, h\] + dt_bias\[h\]), beta\[t, h\] = sigmoid(b\[t, h\]).
//!
//! Rows before the step come from the conv state: the last 4 rows of x, indexed by position mod 4.

use std::ops::Range;

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        operands::{
            caches::Slots,
            heads::{DeltaHeads, TAPS},
            recorder::Recorder,
            step::{self, Span, View},
        },
        silu_mul::{sigmoid, silu},
    },
};

/// One workgroup per head and tile of one sequence's rows, so that the workgroup of the first tile can read its head's
/// conv state and then write it. After the heads, one workgroup per tile for the gates.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_conv",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::F32),
        Binding::read("weight", Element::Float),
        Binding::update("conv_state", Element::F32),
        Binding::write("y", Element::F32),
        Binding::read("a_dt", Element::F32),
        Binding::write("gates", Element::F32),
    ],
    params: &[],
    library: &["step", "activations", "team"],
    lanes: 128,
    source: source!("gdn_conv"),
    cpu,
    cost,
};

/// Maximum lanes that share a row of a head.
const TEAM: u32 = 32;

/// The inputs of a recurrence from prefill rows.
pub struct Mixed {
    /// \[T, C\] f32: queries, keys and values, convolved and normalized.
    pub qkv: Tensor,
    /// \[T, 2·Hv\] f32: log decays, then betas (write strengths).
    pub gates: Tensor,
}

/// Convolves prefill rows and computes their gates.
/// x \[T, projected\] f32, weight \[C, 4\], a_dt \[2, Hv\] f32 (a_log, dt_bias).
pub fn gdn_conv(r: Recorder<'_>, x: &Tensor, weight: &Tensor, a_dt: &Tensor, slots: &mut Slots) -> Mixed {
    let heads = slots.heads;
    assert_eq!(x.width(), heads.projected(), "gdn_conv: x");
    assert_eq!([weight.rows(), weight.width()], [heads.channels(), TAPS], "gdn_conv: weight");
    assert_eq!([a_dt.rows(), a_dt.width()], [2, heads.value], "gdn_conv: a_dt");
    let mut qkv = r.scratch([x.rows(), heads.channels()], DType::F32);
    let mut gates = r.scratch([x.rows(), 2 * heads.value], DType::F32);
    r.dispatch(&KERNEL)
        .delta_heads(heads)
        // As many lanes per row as its smaller heads can use.
        .define("TEAM", TEAM.min(heads.key_width.min(heads.value_width).next_power_of_two()))
        .step(r.step)
        .read(x)
        .read(weight)
        .write(&mut slots.conv_state)
        .write(&mut qkv)
        .read(a_dt)
        .write(&mut gates)
        .grid([2 * heads.key + heads.value + 1, r.step.tiles(), 1]);
    Mixed { qkv, gates }
}

/// Reads C channels plus a and b per row of x, and up to 3 earlier rows of conv state; writes the last 3 rows back. 4
/// multiply-adds per channel, and one more for the norm of queries and keys.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let keys = 2 * d.size("KEY_HEADS") * d.size("KEY_WIDTH");
    let channels = keys + d.size("VALUE_HEADS") * d.size("VALUE_WIDTH");
    let (rows, taps, gates) = (load.rows(d), u64::from(TAPS), 2 * d.size("VALUE_HEADS"));
    Cost {
        weights: d.bytes("weight", channels * taps) + d.bytes("a_dt", gates),
        activations: Bytes {
            read: d.bytes("x", rows * (channels + gates)),
            written: d.bytes("y", rows * channels) + d.bytes("gates", rows * gates),
        },
        cache: Bytes {
            read: d.bytes("conv_state", load.before(taps - 1) * channels),
            written: d.bytes("conv_state", load.last(taps - 1) * channels),
        },
        flops: Flops::vector(rows * (channels * taps + keys)),
    }
}

fn cpu(g: &Group<'_>) {
    let (heads, head) = (DeltaHeads::of(g), g.at(0));
    let Some((span, rows)) = View::of(g).tile(g.at(1)) else { return };
    let reach = Reach { span, heads };
    if head == (2 * heads.key + heads.value) as usize {
        return rows.for_each(|offset| reach.gates(g, offset));
    }
    let (of_head, channels) = (heads.channels_of(head), heads.channels() as usize);
    for offset in rows.clone() {
        let row = (reach.span.row as usize + offset) * channels;
        let y = g.f32s_mut("y", row + of_head.start..row + of_head.end);
        reach.mix(g, offset, head, y);
    }
    if rows.start == 0 {
        reach.save_conv_state(g, of_head);
    }
}

/// A sequence's rows, with access to the rows before them. For kernels with x, weight, conv_state at bindings 1 to 3.
pub(super) struct Reach {
    pub(super) span: Span,
    pub(super) heads: DeltaHeads,
}

impl Reach {
    /// A head's channels of the row at `offset`: convolved and activated; queries and keys are also normalized.
    pub(super) fn mix(&self, g: &Group<'_>, offset: usize, head: usize, y: &mut [f32]) {
        convolve(g, self, offset, self.heads.channels_of(head).start, y);
        y.iter_mut().for_each(|y| *y = silu(*y));
        if head < 2 * self.heads.key as usize {
            let scale = (y.iter().map(|y| y * y).sum::<f32>() + 1e-6).sqrt().recip();
            let is_query = head < self.heads.key as usize;
            let scale = if is_query { scale * (y.len() as f32).sqrt().recip() } else { scale };
            y.iter_mut().for_each(|y| *y *= scale);
        }
    }

    /// The gates of the row at `offset`.
    fn gates(&self, g: &Group<'_>, offset: usize) {
        let (row, heads) = (self.span.row as usize + offset, self.heads.value as usize);
        let (a_log, dt_bias) = g.f32s("a_dt", 0..2 * heads).split_at(heads);
        let end = (row + 1) * self.heads.projected() as usize;
        let (b, a) = g.f32s("x", end - 2 * heads..end).split_at(heads);
        let (decays, betas) = g.f32s_mut("gates", row * 2 * heads..(row + 1) * 2 * heads).split_at_mut(heads);
        for head in 0..heads {
            decays[head] = log_decay(a_log[head], a[head] + dt_bias[head]);
            betas[head] = sigmoid(b[head]);
        }
    }

    /// Channels of x, `back` rows before the row at `offset`; `None` before the start of the sequence.
    fn before<'a>(&self, g: &Group<'a>, offset: usize, back: usize, channels: Range<usize>) -> Option<&'a [f32]> {
        let position = self.span.position as usize + offset;
        let (binding, row) = if back <= offset {
            ("x", (self.span.row as usize + offset - back) * self.heads.projected() as usize)
        } else {
            ("conv_state", self.state_row(position.checked_sub(back)?))
        };
        Some(g.f32s(binding, row + channels.start..row + channels.end))
    }

    /// The place of a position in conv_state.
    fn state_row(&self, position: usize) -> usize {
        (self.span.slot as usize * TAPS as usize + position % TAPS as usize) * self.heads.channels() as usize
    }

    /// Stores the last 3 rows of x in the conv state.
    pub(super) fn save_conv_state(&self, g: &Group<'_>, channels: Range<usize>) {
        let rows = self.span.rows as usize;
        for offset in rows.saturating_sub(TAPS as usize - 1)..rows {
            let place = self.state_row(self.span.position as usize + offset);
            let last = self.before(g, offset, 0, channels.clone()).expect("a row of the step");
            g.f32s_mut("conv_state", place + channels.start..place + channels.end).copy_from_slice(last);
        }
    }
}

/// y\[c\] = Σ_j w\[c, j\] · x\[t − 3 + j, c\] for the channels from `first` on.
fn convolve(g: &Group<'_>, span: &Reach, offset: usize, first: usize, y: &mut [f32]) {
    let (taps, width) = (TAPS as usize, y.len());
    let weight = g.floats("weight", first * taps..(first + width) * taps);
    y.fill(0.0);
    for tap in 0..taps {
        let x = span.before(g, offset, taps - 1 - tap, first..first + width);
        for (channel, (y, x)) in y.iter_mut().zip(x.unwrap_or_default()).enumerate() {
            *y += weight.get(channel * taps + tap) * x;
        }
    }
}

/// −exp(a_log) · softplus(a)
pub(super) fn log_decay(a_log: f32, a: f32) -> f32 {
    -a_log.exp() * softplus(a)
}

/// ln(1 + exp(a)), without overflow on either side.
fn softplus(a: f32) -> f32 {
    a.max(0.0) + (-a.abs()).exp().ln_1p()
}
