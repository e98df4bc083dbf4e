//! leaders\[r, p\] = the largest logit and the least i that has it, of each part p of the logits\[r, i\] with i < limit.
//! `argmax_merge` chooses among the parts.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        pass::Pass,
        tensor::Tensor,
    },
    kernels::operands::step::{self, Step, View},
};

/// One group for SLICE logits of a row.
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

/// No token: the row holds NaN, or nothing above −∞.
pub const NONE: u32 = u32::MAX;

/// Logits of one part: enough that few parts are left to choose from, few enough that a device is busy.
const SLICE: u32 = 4096;

/// Logits that a lane asks for before it compares the first of them.
const AHEAD: u32 = 8;

/// The leaders of all parts below `limit`. logits \[S, V\] f32 → \[S, 2·PARTS\] u32: of each part a key that orders as logits
/// do, and an id.
pub(crate) fn argmax(p: &Pass, step: &Step, logits: &Tensor, limit: u32) -> Tensor {
    let (rows, parts) = (step.capacity().min(logits.rows()), logits.width().div_ceil(SLICE));
    let mut leaders = p.scratch([rows, 2 * parts], DType::U32);
    p.dispatch(&KERNEL)
        .define("WIDTH", logits.width())
        .define("SLICE", SLICE)
        .define("PARTS", parts)
        .define("AHEAD", AHEAD)
        .step(step)
        .read(logits)
        .write(&mut leaders)
        .param("limit", limit.min(logits.width()))
        .grid([parts, rows, 1]);
    leaders
}

/// The logits below the limit are read, and a key and an id are written for each row and part.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let rows = load.rows(d);
    let read = d.bytes("logits", rows * d.word("limit"));
    let activations = Bytes { read, written: d.bytes("leaders", rows * 2 * d.size("PARTS")) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (part, row, slice, width) = (g.at(0), g.at(1), g.define("SLICE"), g.define("WIDTH"));
    if row >= View::of(g).live() {
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

/// Orders as the value does, both zeros alike: 0 for −∞, `NONE` for NaN.
fn key(value: f32) -> u32 {
    let (infinity, size) = (f32::INFINITY.to_bits(), value.abs().to_bits());
    match value {
        _ if value.is_nan() => NONE,
        _ if value.is_sign_negative() => infinity - size,
        _ => infinity + size,
    }
}
