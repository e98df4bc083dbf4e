//! y\[r, first + n\] = Σ_k h\[r, k\] · w\[n, k\] with h = rms_norm(x), for few rows. The factor of a row,
//! 1 / sqrt(mean(x²) + eps), is also a factor of the sum: one pass computes both.

use std::iter;

use crate::{
    compute::{
        cost::{Bytes, Cost, Flops, Load},
        dtype::DType,
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
    },
};

/// One workgroup per ROWS rows × COLUMNS columns; TEAM lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "norm_matvec",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Vec16B),
        Binding::read("norm", Element::Vec16B),
        Binding::read("w", Element::Vec16B),
        Binding::read("tail", Element::Vec16B),
        Binding::update("y", Element::F32),
    ],
    params: &[
        ("rows", Scalar::U32(0)),
        ("first", Scalar::U32(0)),
        ("count", Scalar::U32(0)),
        ("tail_count", Scalar::U32(0)),
        ("stride", Scalar::U32(0)),
        ("eps", Scalar::F32(0.0)),
    ],
    library: &["step", "pieces", "few_rows", "dots", "packed", "sums", "scales"],
    lanes: 128,
    source: source!("norm_matvec"),
    cpu,
    cost,
};

/// Records one dispatch per matrix part, or per two parts. x \[S, K\] f32, y \[S, out\] f32. The summation order of a
/// row depends only on its length and the types of the parts.
pub(crate) fn norm_matvec(r: Recorder<'_>, Normed { x, norm }: Normed<'_>, w: &Matrix, y: &mut Tensor) {
    let (stride, inner) = (y.width(), x.width());
    for (part, tail) in pairs(w.parts()) {
        let count = part.tensor.rows();
        let tail_count = tail.map_or(0, |tail| tail.tensor.rows());
        // The tail holds floats. It does not affect how the weights before it are loaded.
        let sums = Sums {
            inner,
            output: [x.rows(), count],
            rows: DType::F32,
            weights: &[part.tensor.dtype()],
            extras: if tail.is_some() { Extras::NormAndTail } else { Extras::Norm },
        };
        let tiling = MatvecTiling::new(r.caps(), &sums);
        let groups = count.div_ceil(tiling.columns) + tail_count.div_ceil(tiling.columns / tiling.spread);
        tiling
            .dispatch(r, &KERNEL, &sums)
            .step(r.step)
            .read(x)
            .read(&norm.weight)
            .read(&part.tensor)
            .read(&tail.unwrap_or(part).tensor)
            .write(y)
            .param("rows", x.rows())
            .param("first", part.first)
            .param("count", count)
            .param("tail_count", tail_count)
            .param("stride", stride)
            .param("eps", norm.eps)
            .grid([groups, x.rows().div_ceil(tiling.rows), 1]);
    }
}

/// Each part, with the next part if they share a dispatch: floats after weights of another type.
fn pairs(parts: &[Part]) -> impl Iterator<Item = (&Part, Option<&Part>)> {
    let mut rest = parts;
    iter::from_fn(move || {
        let (part, others) = rest.split_first()?;
        let tail = others.first().filter(|tail| {
            let types = [part, tail].map(|part| part.tensor.dtype());
            types[0] != types[1] && !types[1].is_quantized()
        });
        rest = &others[usize::from(tail.is_some())..];
        Some((part, tail))
    })
}

/// Reads the matrix parts, the norm weight and x once, writes y. K multiply-adds per element of y, and K per row for
/// the mean square.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let (rows, inner) = (load.rows(d), d.size("K"));
    let (count, tail) = (d.word("count"), d.word("tail_count"));
    Cost {
        weights: d.bytes("w", count * inner) + d.bytes("tail", tail * inner) + d.bytes("norm", inner),
        activations: Bytes { read: d.bytes("x", rows * inner), written: d.bytes("y", rows * (count + tail)) },
        flops: Flops::vector(rows * (count + tail + 1) * inner),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (rows, columns) = ranges(g);
    let (inner, stride, size) = (g.define("K"), g.word("stride"), g.define("COLUMNS"));
    let (count, tail) = (g.word("count"), g.word("tail_count"));
    let (binding, first, columns) = match g.at(0).checked_sub(count.div_ceil(size)) {
        None => ("w", g.word("first"), columns.start..columns.end.min(count)),
        Some(group) => {
            let size = size / g.define("SPREAD");
            ("tail", g.word("first") + count, group * size..((group + 1) * size).min(tail))
        }
    };
    for row in rows.start..rows.end.min(View::of(g).active_rows()) {
        let h = normed(g.f32s("x", row * inner..(row + 1) * inner), g.floats("norm", 0..inner), g.f32("eps"));
        let h = if binding == "w" && g.define("ROWS_ARE") == RowsAre::PackedHere as usize { rounded(&h) } else { h };
        let y = g.f32s_mut("y", row * stride + first + columns.start..row * stride + first + columns.end);
        for (y, column) in y.iter_mut().zip(columns.clone()) {
            *y = g.floats(binding, column * inner..(column + 1) * inner).dot(&h);
        }
    }
}
