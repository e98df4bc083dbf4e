//! The COUNT largest logits\[r, i\] with i < limit, unordered. Lower ids win ties. NaN counts as the largest value.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::operands::{
        recorder::Recorder,
        step::{self, View},
    },
};

/// One workgroup per row: a radix search for the smallest selected key, then one pass that collects.
pub static KERNEL: Kernel = Kernel {
    name: "top_k",
    bindings: &[
        step::BINDING,
        Binding::read("logits", Element::F32),
        Binding::write("ids", Element::U32),
        Binding::write("values", Element::F32),
    ],
    params: &[("limit", Scalar::U32(0))],
    library: &["step"],
    lanes: 256,
    source: source!("top_k"),
    cpu,
    cost,
};

/// Candidates for a sampler, unordered. logits \[S, V\] f32 → ids \[S, COUNT\] u32, values \[S, COUNT\] f32. With fewer
/// than COUNT logits, the remaining entries have id 2³² − 1 and value −∞.
pub fn top_k(r: Recorder<'_>, logits: &Tensor, limit: u32, ids: &mut Tensor, values: &mut Tensor) {
    assert_eq!([ids.rows(), ids.width()], [values.rows(), values.width()], "top_k: ids, values");
    r.dispatch(&KERNEL)
        .define("WIDTH", logits.width())
        .define("COUNT", ids.width())
        .step(r.step)
        .read(logits)
        .write(ids)
        .write(values)
        .param("limit", limit.min(logits.width()))
        .grid([r.step.capacity().min(logits.rows()), 1, 1]);
}

/// A key in the order of the values, with NaN as the largest.
fn key(value: f32) -> u32 {
    let bits = if value.is_nan() { 0x7fff_ffff } else { value.to_bits() };
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Reads the logits below the limit; writes COUNT pairs per row.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let rows = load.rows(d);
    let pairs = rows * d.size("COUNT");
    let activations = Bytes {
        read: d.bytes("logits", rows * d.word("limit")),
        written: d.bytes("ids", pairs) + d.bytes("values", pairs),
    };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (row, width, count) = (g.at(0), g.define("WIDTH"), g.define("COUNT"));
    if row >= View::of(g).active_rows() {
        return;
    }
    let logits = g.f32s("logits", row * width..row * width + g.word("limit"));
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    if count < order.len() {
        order.select_nth_unstable_by_key(count, |&id| (!key(logits[id as usize]), id));
    }
    let ids = g.words_mut("ids", row * count..(row + 1) * count);
    let values = g.f32s_mut("values", row * count..(row + 1) * count);
    for i in 0..count {
        let id = order.get(i).copied();
        ids[i] = id.unwrap_or(u32::MAX);
        values[i] = id.map_or(f32::NEG_INFINITY, |id| logits[id as usize]);
    }
}
