//! tokens\[r\] = the smallest i < limit with the largest logits\[r, i\], from the leaders of all parts. 2³² − 1 if a
//! logit is NaN, or if no logit is above −∞.

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        argmax::NONE,
        operands::{
            recorder::Recorder,
            step::{self, View},
        },
    },
};

/// One workgroup per row.
pub static KERNEL: Kernel = Kernel {
    name: "argmax_merge",
    bindings: &[step::BINDING, Binding::read("leaders", Element::U32), Binding::write("tokens", Element::U32)],
    params: &[],
    library: &["step", "leader"],
    lanes: 64,
    source: source!("argmax_merge"),
    cpu,
    cost,
};

/// leaders \[S, 2·PARTS\] u32 of keys and ids → tokens \[S, 1\] u32.
pub(crate) fn argmax_merge(r: Recorder<'_>, leaders: &Tensor, tokens: &mut Tensor) {
    let rows = leaders.rows();
    r.dispatch(&KERNEL)
        .define("PARTS", leaders.width() / 2)
        .step(r.step)
        .read(leaders)
        .write(tokens)
        .grid([rows, 1, 1]);
}

/// Reads the leaders from `argmax`, and writes a token per row.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let rows = load.rows(d);
    let read = d.bytes("leaders", rows * 2 * d.size("PARTS"));
    Cost { activations: Bytes { read, written: d.bytes("tokens", rows) }, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (row, parts) = (g.at(0), g.define("PARTS"));
    if row >= View::of(g).active_rows() {
        return;
    }
    let leaders = g.words("leaders", 2 * row * parts..2 * (row + 1) * parts).chunks_exact(2);
    let leader =
        leaders.fold([0, NONE], |best, leader| if leader[0] > best[0] { [leader[0], leader[1]] } else { best });
    g.words_mut("tokens", row..row + 1)[0] = if leader[0] == NONE { NONE } else { leader[1] };
}
