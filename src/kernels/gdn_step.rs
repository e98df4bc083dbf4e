//! The gated delta rule for one row of each sequence: what `gdn_scan` does, with the state passing through once.

use crate::{
    cache::Slots,
    kernels::gdn_scan,
    pass::{Binding, Element, Kernel, Pass},
    step::{self, Step},
    tensor::Tensor,
};

/// One group a value head, COLUMNS columns of its state and sequence; 4 lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_step",
    bindings: &[
        step::BINDING,
        Binding::read("qkv", Element::F32),
        Binding::read("gates", Element::F32),
        Binding::update("state", Element::F32),
        Binding::write("o", Element::F32),
    ],
    params: &[],
    library: &["step"],
    lanes: 4 * gdn_scan::COLUMNS,
    source: source!("gdn_step"),
    cpu: gdn_scan::cpu,
    cost: gdn_scan::cost,
};

/// Advances the states of the step's sequences by one row each. qkv \[S, C\], gates \[S, 2·Hv\] → \[S, Hv·Dv\] f32.
pub fn gdn_step(p: &Pass, step: &Step, qkv: &Tensor, gates: &Tensor, slots: &mut Slots) -> Tensor {
    gdn_scan::record(p, step, (&KERNEL, 4), (qkv, gates), slots)
}
