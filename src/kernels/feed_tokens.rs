//! ids\[r\] ← tokens\[r\], position\[r\] ← position\[r\] + 1: turns a decode step into the next one, without the host.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::operands::{
        recorder::Recorder,
        step::{Phase, View},
    },
};

/// One workgroup for all rows.
pub static KERNEL: Kernel = Kernel {
    name: "feed_tokens",
    bindings: &[Binding::update("step", Element::U32), Binding::read("tokens", Element::U32)],
    params: &[],
    library: &["step"],
    lanes: 64,
    source: source!("feed_tokens"),
    cpu,
    cost,
};

/// Gives each sequence of a decode step its chosen token. tokens \[S, 1\] u32.
pub fn feed_tokens(r: Recorder<'_>, tokens: &Tensor) {
    assert!(r.step.phase() == Phase::Decode && tokens.rows() >= r.step.capacity(), "advance: step, tokens");
    r.dispatch(&KERNEL).update_step(r.step).read(tokens).grid([1; 3]);
}

fn cost(d: &Dispatch, load: &Load) -> Cost {
    let words = 3 * load.rows(d);
    let activations =
        Bytes { read: d.bytes("step", words) + d.bytes("tokens", words / 3), written: d.bytes("step", words) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let step = View::of(g);
    for row in 0..step.active_rows() {
        let token = g.words("tokens", row..row + 1)[0];
        for (place, word) in step.next(row, token) {
            g.words_mut("step", place..place + 1)[0] = word;
        }
    }
}
