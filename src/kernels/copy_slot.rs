//! state\[to\] = state\[from\]: copies the state of one slot to another slot. `pair` holds from and to.

use crate::compute::{
    cost::{Bytes, Cost, Load},
    kernel::{Binding, Dispatch, Element, Group, Kernel},
    pass::Pass,
    tensor::Tensor,
};

/// One workgroup per 16 · LANES words of the row.
pub static KERNEL: Kernel = Kernel {
    name: "copy_slot",
    bindings: &[Binding::read("pair", Element::U32), Binding::update("state", Element::F32)],
    params: &[],
    library: &[],
    lanes: 64,
    source: source!("copy_slot"),
    cpu,
    cost,
};

const WORDS: u32 = 16 * KERNEL.lanes;

/// Copies one row of `state` \[slots, words\] f32 to another row. pair \[1, 2\] u32.
pub fn copy_slot(p: &Pass, pair: &Tensor, state: &mut Tensor) {
    let width = state.width();
    p.dispatch(&KERNEL).define("WIDTH", width).read(pair).write(state).grid([width.div_ceil(WORDS), 1, 1]);
}

/// Reads one row, writes one row.
fn cost(d: &Dispatch, _: &Load) -> Cost {
    let row = d.bytes("state", d.size("WIDTH"));
    Cost { cache: Bytes { read: row, written: row }, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let width = g.define("WIDTH");
    let words = g.at(0) * WORDS as usize..((g.at(0) + 1) * WORDS as usize).min(width);
    let [from, to] = [0, 1].map(|i| g.words("pair", i..i + 1)[0] as usize * width);
    g.f32s_mut("state", to + words.start..to + words.end)
        .copy_from_slice(g.f32s("state", from + words.start..from + words.end));
}
