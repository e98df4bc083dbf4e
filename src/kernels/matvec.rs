//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for few rows: each read of the weights serves ROWS rows.

mod tiling;

use std::ops::Range;

use crate::{
    compute::{
        cost::{Bytes, Cost, Load},
        dtype::{BLOCK, DType},
        formats::packed::rounded,
        kernel::{Binding, Dispatch, Element, Floats, Group, Kernel, RowsAre, Scalar},
    },
    kernels::operands::{
        matrix::{Matrix, Product},
        recorder::Recorder,
        step::{self, View},
    },
};
pub(super) use tiling::{Extras, MatvecTiling, Sums};

/// One workgroup per ROWS rows × COLUMNS columns; TEAM lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "matvec",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Vec16B),
        Binding::read("w", Element::Vec16B),
        Binding::update("y", Element::F32),
    ],
    params: &[
        ("rows", Scalar::U32(0)),
        ("first", Scalar::U32(0)),
        ("count", Scalar::U32(0)),
        ("stride", Scalar::U32(0)),
    ],
    library: &["step", "pieces", "few_rows", "dots", "packed", "sums"],
    lanes: 128,
    source: source!("matvec"),
    cpu,
    cost,
};

/// The row type for a product of few rows whose producer writes runs of `alignment` elements. Packed if the weights are
/// multiplied as bytes and a run is a multiple of a block; else that of the recorder.
pub(crate) fn activation_type(r: Recorder<'_>, w: &Matrix, alignment: u32) -> DType {
    let packs = w.parts()[0].tensor.dtype().packs();
    let same_packing = w.parts().iter().all(|part| part.tensor.dtype().packs() == packs);
    match packs {
        Some(packs) if r.caps().packed_dots && same_packing && alignment.is_multiple_of(BLOCK as u32) => {
            DType::Packed(packs)
        }
        _ => r.activations,
    }
}

/// Records one dispatch per matrix part.
pub(crate) fn matvec(r: Recorder<'_>, product: Product<'_>) {
    let Product { x, w, y, epilogue } = product;
    let stride = y.width();
    for part in w.parts() {
        let count = part.tensor.rows();
        let sums = Sums {
            inner: x.width(),
            output: [x.rows(), count],
            rows: x.dtype(),
            weights: &[part.tensor.dtype()],
            extras: Extras::None,
        };
        let tiling = MatvecTiling::new(r.caps(), &sums);
        tiling
            .dispatch(r, &KERNEL, &sums)
            .define("ADD", epilogue as u32)
            .step(r.step)
            .read(x)
            .read(&part.tensor)
            .write(y)
            .param("rows", x.rows())
            .param("first", part.first)
            .param("count", count)
            .param("stride", stride)
            .grid([count.div_ceil(tiling.columns), x.rows().div_ceil(tiling.rows), 1]);
    }
}

/// Reads the matrix part and x once, writes y; also reads y if the product is added. K multiply-adds per element of y.
pub(super) fn cost(d: &Dispatch, load: &Load) -> Cost {
    let (rows, inner, count) = (load.rows(d), d.size("K"), d.word("count"));
    let y = d.bytes("y", rows * count);
    Cost {
        weights: d.bytes("w", count * inner),
        activations: Bytes { read: d.bytes("x", rows * inner) + d.size("ADD") * y, written: y },
        flops: d.product(["x", "w"], rows * count * inner),
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (rows, columns) = ranges(g);
    tile(g, rows, columns, |weight| weight);
}

/// The rows and columns of a workgroup.
pub(super) fn ranges(g: &Group<'_>) -> (Range<usize>, Range<usize>) {
    let range = |at: usize, size: usize| at * size..(at + 1) * size;
    (range(g.at(1), g.define("ROWS")), range(g.at(0), g.define("COLUMNS")))
}

/// The products of some rows and columns, with the same sums for every kernel that calls it. `narrowed` converts each
/// dequantized weight.
pub(super) fn tile(g: &Group<'_>, rows: Range<usize>, columns: Range<usize>, narrowed: fn(f32) -> f32) {
    let (active_rows, inner, stride) = (View::of(g).active_rows(), g.define("K"), g.word("stride"));
    let (rows, columns) = (rows.start..rows.end.min(active_rows), columns.start..columns.end.min(g.word("count")));
    let packed = g.find_define("ROWS_ARE") == Some(RowsAre::PackedHere as usize);
    let x = |row: usize| g.floats("x", row * inner..(row + 1) * inner).to_vec();
    let xs: Vec<_> = rows.clone().map(|row| if packed { rounded(&x(row)) } else { x(row) }).collect();
    for column in columns {
        let stored = g.floats("w", column * inner..(column + 1) * inner);
        // Dequantize once for all rows.
        let quantized = matches!(stored, Floats::Quantized(_));
        let f32s = quantized.then(|| stored.to_vec().into_iter().map(narrowed).collect::<Vec<_>>());
        let weights = f32s.as_deref().map_or(stored, Floats::F32);
        for (row, x) in rows.clone().zip(&xs) {
            let at = row * stride + g.word("first") + column;
            let (y, sum) = (&mut g.f32s_mut("y", at..at + 1)[0], weights.dot(x));
            *y = if g.define("ADD") == 1 { *y + sum } else { sum };
        }
    }
}
