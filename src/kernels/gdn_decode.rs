//! The middle of a DeltaNet layer for one row per sequence: `gdn_conv`, `gdn_scan` and `gated_rms_norm` in one kernel.
//! One workgroup does all the work of a value head.

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        kernel::{Binding, Dispatch, Element, Floats, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::{
        gated_rms_norm::gated,
        gdn_conv::{Reach, log_decay},
        gdn_scan::{Token, advance},
        operands::{
            caches::Slots,
            heads::{DeltaHeads, TAPS},
            recorder::Recorder,
            step::{self, Span, View},
        },
        rms_norm::Norm,
        silu_mul::sigmoid,
    },
};

/// One workgroup per value head and sequence. Each state column gets as many lanes as the workgroup has for it.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_decode",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::F32),
        Binding::read("weight", Element::Float),
        Binding::update("conv_state", Element::F32),
        Binding::read("a_dt", Element::F32),
        Binding::read("norm", Element::Float),
        Binding::update("state", Element::F32),
        Binding::write("o", Element::Activations),
    ],
    params: &[("eps", Scalar::F32(0.0))],
    library: &["step", "activations", "reduce"],
    lanes: 256,
    source: source!("gdn_decode"),
    cpu,
    cost,
};

/// Maximum lanes of a workgroup, if the device allows that many.
const LANES: u32 = 512;

/// The weights between the projections of a DeltaNet layer.
pub struct Recurrence {
    /// \[C, 4\]: the convolution taps.
    pub conv: Tensor,
    /// \[2, Hv\] f32: a_log, then dt_bias.
    pub a_dt: Tensor,
    /// Norm over each value head. It scales by `weight`, not by 1 + `weight`.
    pub norm: Norm,
}

/// Advances each sequence's state by one row. x \[S, projected\] f32 → \[S, Hv·Dv\] of type `r.activations`.
pub fn gdn_decode(r: Recorder<'_>, x: &Tensor, w: &Recurrence, slots: &mut Slots) -> Tensor {
    let heads = slots.heads;
    assert_eq!(x.width(), heads.projected(), "gdn_decode: x");
    assert_eq!([w.conv.rows(), w.conv.width()], [heads.channels(), TAPS], "gdn_decode: conv");
    assert_eq!([w.a_dt.width(), w.norm.weight.width()], [heads.value, heads.value_width], "gdn_decode: a_dt, norm");
    assert!(heads.value_width.is_multiple_of(4), "gdn_decode: {heads:?}");
    let columns = heads.value_width.next_power_of_two();
    let members = (r.caps().lanes.min(LANES) / columns).clamp(1, heads.key_width.next_power_of_two());
    let members = 1 << members.ilog2();
    let mut o = r.scratch([x.rows(), heads.values()], r.activations);
    r.dispatch(&KERNEL)
        .define("KEY_HEADS", heads.key)
        .define("VALUE_HEADS", heads.value)
        .define("SHARING", heads.sharing)
        .define("KEY_WIDTH", heads.key_width)
        .define("VALUE_WIDTH", heads.value_width)
        .define("COLUMNS", columns)
        .define("SHARE", heads.key_width.div_ceil(members))
        .lanes(columns * members)
        .step(r.step)
        .read(x)
        .read(&w.conv)
        .write(&mut slots.conv_state)
        .read(&w.a_dt)
        .read(&w.norm.weight)
        .write(&mut slots.state)
        .write(&mut o)
        .param("eps", w.norm.eps)
        .grid([heads.value, r.step.sequences(), 1]);
    o
}

/// Reads x and writes o once. Reads up to 3 earlier rows of conv state, and stores the new row there. Reads and writes
/// the state once; a sequence's first row reads no state. 4 multiply-adds per channel, 3 per state element, 1 per norm
/// element.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let values = d.size("VALUE_HEADS") * d.size("VALUE_WIDTH");
    let keys = 2 * d.size("KEY_HEADS") * d.size("KEY_WIDTH");
    let (channels, gates, taps) = (keys + values, 2 * d.size("VALUE_HEADS"), u64::from(TAPS));
    let (rows, state) = (load.rows(d), values * d.size("KEY_WIDTH"));
    Cost {
        weights: d.bytes("weight", channels * taps) + d.bytes("a_dt", gates) + d.bytes("norm", d.size("VALUE_WIDTH")),
        activations: Bytes {
            read: d.bytes("x", rows * (channels + values + gates)),
            written: d.bytes("o", rows * values),
        },
        cache: Bytes {
            read: d.bytes("conv_state", load.before(taps - 1) * channels) + d.bytes("state", load.continued() * state),
            written: d.bytes("conv_state", rows * channels) + d.bytes("state", load.sequences() * state),
        },
        flops: Flops::vector(rows * (channels * taps + keys + 3 * state + values)),
    }
}

fn cpu(g: &Group<'_>) {
    let (step, heads, head, sequence) = (View::of(g), DeltaHeads::shared_of(g), g.at(0), g.at(1));
    if sequence >= step.sequences() {
        return;
    }
    let reach = Reach { span: step.span(sequence), heads };
    let [keys, values, width] = [heads.key, heads.value, heads.value_width].map(|size| size as usize);
    let key_head = heads.key_of(head);
    let parts = [key_head, keys + key_head, 2 * keys + head];
    let [q, k, v] = parts.map(|part| {
        let channels = heads.channels_of(part);
        let mut y = vec![0.0; channels.len()];
        reach.mix(g, 0, part, &mut y);
        // The first value head of a shared key head stores the queries and keys.
        if part >= 2 * keys || heads.is_first(head) {
            reach.save_conv_state(g, channels);
        }
        y
    });
    let (row, stride) = (reach.span.row as usize, heads.projected() as usize);
    let x = g.f32s("x", row * stride..(row + 1) * stride);
    let z = heads.channels() as usize + head * width;
    let b = (heads.channels() + heads.values()) as usize + head;
    let a_dt = g.f32s("a_dt", 0..2 * values);
    let decay = log_decay(a_dt[head], x[b + values] + a_dt[values + head]).exp();
    let token = Token { q: &q, k: &k, v: &v, decay, beta: sigmoid(x[b]) };
    let mut o = vec![0.0; width];
    advance(&token, state(g, &reach.span, heads, head), &mut o);
    let y = gated(&o, Floats::F32(&x[z..z + width]), g.floats("norm", 0..width), g.f32("eps"));
    g.store("o", row * heads.values() as usize + head * width, &y);
}

/// A head's state; filled with zeros at the start of a sequence.
fn state<'a>(g: &Group<'a>, span: &Span, heads: DeltaHeads, head: usize) -> &'a mut [f32] {
    let size = (heads.key_width * heads.value_width) as usize;
    let first = (span.slot as usize * heads.value as usize + head) * size;
    let state = g.f32s_mut("state", first..first + size);
    if span.position == 0 {
        state.fill(0.0);
    }
    state
}
