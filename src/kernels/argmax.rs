//! tokens\[r\] = the least i < limit with the largest logits\[r, i\]; 2³² − 1 where a logit is NaN or none is above −∞

use crate::{
    cost::{Bytes, Cost, Load},
    cpu::Group,
    pass::{Binding, Dispatch, Element, Kernel, Pass, Scalar},
    step::{self, Step, View},
    tensor::Tensor,
};

/// One group a row.
pub static KERNEL: Kernel = Kernel {
    name: "argmax",
    bindings: &[step::BINDING, Binding::read("logits", Element::F32), Binding::write("tokens", Element::U32)],
    params: &[("limit", Scalar::U32(0))],
    library: &["step"],
    lanes: 256,
    source: source!("argmax"),
    cpu,
    cost,
};

/// No token: the row holds NaN, or nothing above −∞.
pub const NONE: u32 = u32::MAX;

/// Greedy choice below `limit`. logits \[S, V\] f32 → tokens \[S, 1\] u32.
pub fn argmax(p: &Pass, step: &Step, logits: &Tensor, limit: u32, tokens: &mut Tensor) {
    assert_eq!([logits.rows(), 1], [tokens.rows(), tokens.width()], "argmax: tokens");
    p.dispatch(&KERNEL)
        .define("WIDTH", logits.width())
        .step(step)
        .read(logits)
        .write(tokens)
        .param("limit", limit.min(logits.width()))
        .grid([step.capacity().min(logits.rows()), 1, 1]);
}

/// The logits below the limit are read and a token is written, for each row.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let rows = load.rows(d);
    let activations = Bytes { read: d.bytes("logits", rows * d.word("limit")), written: d.bytes("tokens", rows) };
    Cost { activations, ..Cost::default() }
}

fn cpu(g: &Group<'_>) {
    let (row, width) = (g.at(0), g.define("WIDTH"));
    if row >= View::of(g).live() {
        return;
    }
    let (mut best, mut token) = (f32::NEG_INFINITY, NONE);
    for (id, &logit) in (0..).zip(g.singles(1, row * width..row * width + g.word("limit"))) {
        if logit.is_nan() {
            token = NONE;
            break;
        }
        if logit > best {
            (best, token) = (logit, id);
        }
    }
    g.words_mut(2, row..row + 1)[0] = token;
}
