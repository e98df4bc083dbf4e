//! y\[r, first + n\] = Σ_k h\[r, k\] · w\[n, k\] with h = rms_norm(x), for few rows. What scales a row, 1 / sqrt(mean(x²) + eps),
//! scales the sum as well: one pass finds both.

use crate::{
    cost::{Bytes, Cost, Flops, Load},
    cpu::Group,
    kernels::{
        matvec::{Shares, ranges},
        rms_norm::normed,
    },
    matrix::{Matrix, Normed},
    pass::{Binding, Dispatch, Element, Kernel, Pass, Scalar},
    step::{self, Step, View},
    tensor::Tensor,
};

/// One group for COLUMNS columns and ROWS rows; TEAM lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "norm_matvec",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Wide),
        Binding::read("norm", Element::Wide),
        Binding::read("w", Element::Wide),
        Binding::update("y", Element::F32),
    ],
    params: &[
        ("rows", Scalar::U32(0)),
        ("first", Scalar::U32(0)),
        ("count", Scalar::U32(0)),
        ("stride", Scalar::U32(0)),
        ("eps", Scalar::F32(0.0)),
    ],
    library: &["step", "pieces", "dots", "sums", "scales"],
    lanes: 128,
    source: source!("norm_matvec"),
    cpu,
    cost,
};

/// Records the product for each part of the matrix. x \[S, K\] f32, y \[S, out\] f32. The order of a row's sum depends on
/// its length alone.
pub(crate) fn norm_matvec(p: &Pass, step: &Step, Normed { x, norm, .. }: Normed<'_>, w: &Matrix, y: &mut Tensor) {
    let stride = y.width();
    for part in w.parts() {
        let count = part.tensor.rows();
        let shares = Shares::new(p.caps(), (x.width(), &[part.tensor.dtype()]), [x.rows(), count]);
        shares
            .dispatch(p, &KERNEL, x.width(), [1, 1])
            .step(step)
            .read(x)
            .read(&norm.weight)
            .read(&part.tensor)
            .write(y)
            .param("rows", x.rows())
            .param("first", part.first)
            .param("count", count)
            .param("stride", stride)
            .param("eps", norm.eps)
            .grid([count.div_ceil(shares.columns), x.rows().div_ceil(shares.rows), 1]);
    }
}

/// The part of the matrix, the norm's weight and the rows of x are read once, y is written. K multiply-adds for each
/// element of y, and for each row's mean square.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let (rows, inner, count) = (load.rows(d), d.size("K"), d.word("count"));
    Cost {
        weights: d.bytes("w", count * inner) + d.bytes("norm", inner),
        activations: Bytes { read: d.bytes("x", rows * inner), written: d.bytes("y", rows * count) },
        flops: Flops::vector(rows * (count + 1) * inner),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (rows, columns) = ranges(g);
    let (inner, first, stride) = (g.define("K"), g.word("first"), g.word("stride"));
    let columns = columns.start..columns.end.min(g.word("count"));
    for row in rows.start..rows.end.min(View::of(g).live()) {
        let h = normed(g.singles(1, row * inner..(row + 1) * inner), g.floats(2, 0..inner), g.single("eps"));
        let y = g.singles_mut(4, row * stride + first + columns.start..row * stride + first + columns.end);
        for (y, column) in y.iter_mut().zip(columns.clone()) {
            *y = g.floats(3, column * inner..(column + 1) * inner).dot(&h);
        }
    }
}
