//! leaders\[r, p\] = the largest logit, and its smallest index i, in part p of logits\[r, i\] with i < limit.
//! `argmax_merge` merges the parts.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::operands::{
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per SLICE logits of a row.
pub static KERNEL: Kernel = Kernel {
    name: "argmax",
    bindings: &[step::BINDING, Binding::read("logits", Element::F32), Binding::write("leaders", Element::U32)],
    params: &[("limit", Scalar::U32(0))],
    library: &["step", "leader"],
    lanes: 256,
    source: source!("argmax"),
    cpu,
    cost,
};

/// No token: the row holds NaN, or no logit above −∞.
pub const NONE: u32 = u32::MAX;

/// Logits per part: large enough to leave few parts to merge, small enough to fill the device.
const SLICE: u32 = 4096;

/// Logits that a lane loads before it compares the first one.
const AHEAD: u32 = 8;

/// The leaders of all parts, for ids below `limit`. logits \[S, V\] f32 → \[S, 2·PARTS\] u32: per part a key in the
/// order of the logits, and an id.
pub(crate) fn argmax(r: Recorder<'_>, logits: &Tensor, limit: u32) -> Tensor {
    let (rows, parts) = (r.step.capacity().min(logits.rows()), logits.width().div_ceil(SLICE));
    let mut leaders = r.scratch([rows, 2 * parts], DType::U32);
    r.dispatch(&KERNEL)
        .define("WIDTH", logits.width())
        .define("SLICE", SLICE)
        .define("PARTS", parts)
        .define("AHEAD", AHEAD)
        .step(r.step)
        .read(logits)
        .write(&mut leaders)
        .param("limit", limit.min(logits.width()))
        .grid([parts, rows, 1]);
    leaders
}

/// Reads the logits below the limit; writes a key and an id per row and part.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let rows = load.rows(d);
    let read = d.bytes("logits", rows * d.word("limit"));
    let activations = Bytes { read, written: d.bytes("leaders", rows * 2 * d.size("PARTS")) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (part, row, slice, width) = (g.at(0), g.at(1), g.define("SLICE"), g.define("WIDTH"));
    if row >= View::of(g).active_rows() {
        return;
    }
    let ids = (part * slice).min(g.word("limit"))..((part + 1) * slice).min(g.word("limit"));
    let logits = g.f32s("logits", row * width + ids.start..row * width + ids.end);
    let mut leader = [0, NONE];
    for (id, &logit) in (ids.start as u32..).zip(logits) {
        let key = key(logit);
        if key > leader[0] {
            leader = [key, id];
        }
    }
    let at = 2 * (row * g.define("PARTS") + part);
    g.words_mut("leaders", at..at + 2).copy_from_slice(&leader);
}

/// A key in the order of the values; both zeros are equal. 0 for −∞, `NONE` for NaN.
fn key(value: f32) -> u32 {
    let (infinity, size) = (f32::INFINITY.to_bits(), value.abs().to_bits());
    match value {
        _ if value.is_nan() => NONE,
        _ if value.is_sign_negative() => infinity - size,
        _ => infinity + size,
    }
}
