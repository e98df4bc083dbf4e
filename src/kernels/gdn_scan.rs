//! The gated delta rule, token after token, per value head with state S \[Dk, Dv\]:
//! S ← exp(decay)·S; u = beta·(v − Sᵀk); S ← S + k uᵀ; o = Sᵀq. Value head h uses key head h / (Hv/Hk).

use std::ops::Range;

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel},
        tensor::Tensor,
    },
    kernels::{
        gdn_conv::Mixed,
        operands::{
            caches::Slots,
            heads::DeltaHeads,
            recorder::Recorder,
            step::{self, View},
        },
    },
};

/// State columns that one workgroup keeps in registers.
pub const COLUMNS: u32 = 16;

/// Tokens that are staged together in workgroup memory.
const TOKENS: u32 = 8;

/// One workgroup per value head, COLUMNS columns of its state, and sequence.
pub static KERNEL: Kernel = Kernel {
    name: "gdn_scan",
    bindings: &[
        step::BINDING,
        Binding::read("qkv", Element::F32),
        Binding::read("gates", Element::F32),
        Binding::update("state", Element::F32),
        Binding::write("o", Element::F32),
    ],
    params: &[],
    library: &["step", "team"],
    lanes: 8 * COLUMNS,
    source: source!("gdn_scan"),
    cpu,
    cost,
};

/// Advances each sequence's state by all its rows. → \[T, Hv·Dv\] f32.
pub fn gdn_scan(r: Recorder<'_>, Mixed { qkv, gates }: &Mixed, slots: &mut Slots) -> Tensor {
    let heads = slots.heads;
    // The number of lanes divides a column's quads evenly.
    let team = r.caps().tiles.scan_team.min(1 << (heads.key_width / 4).trailing_zeros());
    assert_eq!([qkv.width(), gates.width()], [heads.channels(), 2 * heads.value], "gdn_scan: qkv, gates");
    let quads = [heads.key_width, heads.value_width].iter().all(|width| width.is_multiple_of(4));
    assert!(quads, "gdn_scan: head widths must be multiples of 4");
    let mut o = r.scratch([qkv.rows(), heads.values()], DType::F32);
    r.dispatch(&KERNEL)
        .define("KEY_HEADS", heads.key)
        .define("VALUE_HEADS", heads.value)
        .define("SHARING", heads.sharing)
        .define("KEY_WIDTH", heads.key_width)
        .define("VALUE_WIDTH", heads.value_width)
        .define("TEAM", team)
        .define("TOKENS", TOKENS)
        .define("SHARE", heads.key_width / 4 / team)
        .lanes(COLUMNS * team)
        .step(r.step)
        .read(qkv)
        .read(gates)
        .write(&mut slots.state)
        .write(&mut o)
        .grid([heads.value, heads.value_width.div_ceil(COLUMNS), r.step.sequences()]);
    o
}

/// Reads and writes each state once; the start of a sequence reads no state. Three multiply-adds per token and state
/// element: Sᵀk, S + k uᵀ, Sᵀq.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let values = d.size("VALUE_HEADS") * d.size("VALUE_WIDTH");
    let channels = 2 * d.size("KEY_HEADS") * d.size("KEY_WIDTH") + values;
    let (rows, state) = (load.rows(d), values * d.size("KEY_WIDTH"));
    Cost {
        activations: Bytes {
            read: d.bytes("qkv", rows * channels) + d.bytes("gates", rows * 2 * d.size("VALUE_HEADS")),
            written: d.bytes("o", rows * values),
        },
        cache: Bytes {
            read: d.bytes("state", load.continued() * state),
            written: d.bytes("state", load.sequences() * state),
        },
        flops: Flops::vector(3 * rows * state),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (step, heads, head, sequence) = (View::of(g), DeltaHeads::shared_of(g), g.at(0), g.at(2));
    if sequence >= step.sequences() {
        return;
    }
    let (span, width, depth) = (step.span(sequence), heads.value_width as usize, heads.key_width as usize);
    let first = g.at(1) * COLUMNS as usize;
    let columns = first..(first + COLUMNS as usize).min(width);
    let at = |key: usize| {
        let row = ((span.slot as usize * heads.value as usize + head) * depth + key) * width;
        row + columns.start..row + columns.end
    };
    let mut state = vec![0.0; depth * columns.len()];
    if span.position > 0 {
        for (key, row) in state.chunks_exact_mut(columns.len()).enumerate() {
            row.copy_from_slice(g.f32s("state", at(key)));
        }
    }
    for row in (span.row as usize..).take(span.rows as usize) {
        let first = row * heads.values() as usize + head * width;
        let o = g.f32s_mut("o", first + columns.start..first + columns.end);
        advance(&token(g, &heads, row, head, columns.clone()), &mut state, o);
    }
    for (key, row) in state.chunks_exact(columns.len()).enumerate() {
        g.f32s_mut("state", at(key)).copy_from_slice(row);
    }
}

/// The inputs of one token for some columns of a head's state.
pub(super) struct Token<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    /// The values of these columns.
    pub(super) v: &'a [f32],
    /// The factor of the state.
    pub(super) decay: f32,
    pub(super) beta: f32,
}

/// One token of the delta rule: advances some columns of a head's state and computes their outputs.
pub(super) fn advance(token: &Token<'_>, state: &mut [f32], o: &mut [f32]) {
    let Token { q, k, v, decay, beta } = *token;
    let count = v.len();
    let mut read = vec![0.0; count];
    for (state, k) in state.chunks_exact_mut(count).zip(k) {
        for (state, read) in state.iter_mut().zip(&mut read) {
            *state *= decay;
            *read += *state * k;
        }
    }
    let u: Vec<f32> = v.iter().zip(&read).map(|(v, read)| beta * (v - read)).collect();
    o.fill(0.0);
    for ((state, k), q) in state.chunks_exact_mut(count).zip(k).zip(q) {
        for ((state, u), o) in state.iter_mut().zip(&u).zip(o.iter_mut()) {
            *state += k * u;
            *o += *state * q;
        }
    }
}

/// The token of one row, from bindings 1 and 2, for some columns of a head.
fn token<'a>(g: &Group<'a>, heads: &DeltaHeads, row: usize, head: usize, columns: Range<usize>) -> Token<'a> {
    let [keys, values, key_width, value_width] =
        [heads.key, heads.value, heads.key_width, heads.value_width].map(|size| size as usize);
    let (channels, key_head) = (heads.channels() as usize, heads.key_of(head));
    let qkv = g.f32s("qkv", row * channels..(row + 1) * channels);
    let gates = g.f32s("gates", row * 2 * values..(row + 1) * 2 * values);
    Token {
        q: &qkv[key_head * key_width..][..key_width],
        k: &qkv[(keys + key_head) * key_width..][..key_width],
        v: &qkv[2 * keys * key_width + head * value_width..][..value_width][columns],
        decay: gates[head].exp(),
        beta: gates[values + head],
    }
}
