//! y\[r, first + n\] = silu(Σ_k h\[r, k\] · gate\[n, k\]) · Σ_k h\[r, k\] · up\[n, k\]
//! with h = rms_norm(x), for few rows

use std::ops::Range;

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        dtype::{BLOCK, DType},
        formats::packed::rounded,
        kernel::{Binding, Dispatch, Element, Group, Kernel, RowsAre, Scalar},
        tensor::Tensor,
    },
    kernels::{
        matvec::{Extras, MatvecTiling, Sums, ranges},
        operands::{
            matrix::{Matrix, Normed, Part},
            recorder::Recorder,
            step::{self, View},
        },
        rms_norm::normed,
        silu_mul::silu,
    },
};

/// One workgroup per ROWS rows × COLUMNS columns; TEAM lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "norm_swiglu",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Vec16B),
        Binding::read("norm", Element::Vec16B),
        Binding::read("gate", Element::Vec16B),
        Binding::read("up", Element::Vec16B),
        Binding::update("y", Element::Activations),
    ],
    params: &[
        ("rows", Scalar::U32(0)),
        ("first", Scalar::U32(0)),
        ("count", Scalar::U32(0)),
        ("stride", Scalar::U32(0)),
        ("gate_row", Scalar::U32(0)),
        ("up_row", Scalar::U32(0)),
        ("eps", Scalar::F32(0.0)),
    ],
    library: &["step", "activations", "pieces", "few_rows", "dots", "packed", "sums", "scales"],
    lanes: 128,
    source: source!("norm_swiglu"),
    cpu,
    cost,
};

/// Maximum lanes of a workgroup that writes whole packed blocks.
const LANES: u32 = 512;

/// The gated half of an MLP. x \[S, K\] f32, gate and up \[2·I, K\] → \[S, I\] of type `r.activations`.
///
/// # Panics
/// If a matrix part does not end at a multiple of 4 rows, or of a whole block if rows are packed.
pub fn norm_swiglu(r: Recorder<'_>, h: Normed<'_>, gate_up: &Matrix) -> Tensor {
    let Normed { x, norm } = h;
    assert_eq!(x.width(), gate_up.width(), "norm_swiglu: inner width");
    let width = gate_up.rows() / 2;
    let (run, lanes) = match r.activations {
        DType::Packed(_) => (BLOCK as u32, LANES.min(r.caps().lanes)),
        _ => (4, 0),
    };
    let mut y = r.scratch([x.rows(), width], r.activations);
    for PairedColumns { gate, up, columns } in paired_columns(gate_up) {
        let count = columns.end - columns.start;
        assert!(columns.start.is_multiple_of(run) && count.is_multiple_of(run), "norm_swiglu: parts in runs of {run}");
        let weights = [gate.tensor.dtype(), up.tensor.dtype()];
        let sums = Sums {
            inner: x.width(),
            output: [x.rows(), count],
            rows: x.dtype(),
            weights: &weights,
            extras: Extras::NormAndGate,
        };
        let tiling = MatvecTiling::new(r.caps(), &sums).in_runs(run, lanes);
        tiling
            .dispatch(r, &KERNEL, &sums)
            .define("PAIRS", tiling.of_team())
            .step(r.step)
            .read(x)
            .read(&norm.weight)
            .read(&gate.tensor)
            .read(&up.tensor)
            .write(&mut y)
            .param("rows", x.rows())
            .param("first", columns.start)
            .param("count", count)
            .param("stride", width)
            .param("gate_row", columns.start - gate.first)
            .param("up_row", width + columns.start - up.first)
            .param("eps", norm.eps)
            .grid([count.div_ceil(tiling.columns), x.rows().div_ceil(tiling.rows), 1]);
    }
    y
}

/// Columns whose gate rows lie in one matrix part, and whose up rows lie in one matrix part.
struct PairedColumns<'a> {
    gate: &'a Part,
    up: &'a Part,
    columns: Range<u32>,
}

fn paired_columns(gate_up: &Matrix) -> impl Iterator<Item = PairedColumns<'_>> {
    let width = gate_up.rows() / 2;
    let pairs = gate_up.parts().iter().flat_map(|gate| gate_up.parts().iter().map(move |up| (gate, up)));
    pairs.filter_map(move |(gate, up)| {
        let start = gate.first.max(up.first.saturating_sub(width));
        let end = (gate.first + gate.tensor.rows()).min((up.first + up.tensor.rows()).saturating_sub(width)).min(width);
        (start < end).then_some(PairedColumns { gate, up, columns: start..end })
    })
}

/// Reads the gate and up rows, the norm weight and x once; writes y. 2 · K multiply-adds per element of y, and K per
/// row for the mean square.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let (rows, inner, count) = (load.rows(d), d.size("K"), d.word("count"));
    Cost {
        weights: d.bytes("gate", count * inner) + d.bytes("up", count * inner) + d.bytes("norm", inner),
        activations: Bytes { read: d.bytes("x", rows * inner), written: d.bytes("y", rows * count) },
        flops: Flops::vector(rows * (2 * count + 1) * inner),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (rows, columns) = ranges(g);
    let inner = g.define("K");
    let columns = columns.start..columns.end.min(g.word("count"));
    for row in rows.start..rows.end.min(View::of(g).active_rows()) {
        let h = normed(g.f32s("x", row * inner..(row + 1) * inner), g.floats("norm", 0..inner), g.f32("eps"));
        let h = if g.define("ROWS_ARE") == RowsAre::PackedHere as usize { rounded(&h) } else { h };
        let sum = |binding: &str, at: usize| g.floats(binding, at * inner..(at + 1) * inner).dot(&h);
        let pair = |n: usize| silu(sum("gate", g.word("gate_row") + n)) * sum("up", g.word("up_row") + n);
        let y: Vec<f32> = columns.clone().map(pair).collect();
        g.store("y", row * g.word("stride") + g.word("first") + columns.start, &y);
    }
}
