//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for many rows: tiles of both operands lie in workgroup memory.

use std::ops::Range;

use crate::{
    compute::kernel::{Binding, Element, Group, Kernel, Scalar},
    kernels::operands::{
        matrix::{Part, Product},
        recorder::Recorder,
        step,
    },
};

/// One workgroup per TILE_ROWS × TILE_COLUMNS tile of y.
pub static KERNEL: Kernel = Kernel {
    name: "matmul",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Float),
        Binding::read("w", Element::Float),
        Binding::update("y", Element::F32),
    ],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0)), ("stride", Scalar::U32(0))],
    library: &["step"],
    lanes: 256,
    source: source!("matmul"),
    cpu,
    cost: super::matvec::cost,
};

/// Records the product with one matrix part. The summation order of a row depends only on its length.
pub(crate) fn matmul(r: Recorder<'_>, product: &mut Product<'_>, part: &Part) {
    let Product { x, y, epilogue, .. } = product;
    let [rows, columns] = r.caps().tiles.matmul;
    let stride = y.width();
    r.dispatch(&KERNEL)
        .define("K", x.width())
        .define("TILE_ROWS", rows)
        .define("TILE_COLUMNS", columns)
        .define("ADD", *epilogue as u32)
        .step(r.step)
        .read(x)
        .read(&part.tensor)
        .write(y)
        .param("first", part.first)
        .param("count", part.tensor.rows())
        .param("stride", stride)
        .grid([part.tensor.rows().div_ceil(columns), x.rows().div_ceil(rows), 1]);
}

fn cpu(g: &Group<'_>) {
    let [rows, columns] = ranges(g);
    super::matvec::tile(g, rows, columns, |weight| weight);
}

/// The rows and columns of a workgroup.
pub(super) fn ranges(g: &Group<'_>) -> [Range<usize>; 2] {
    [(1, "TILE_ROWS"), (0, "TILE_COLUMNS")].map(|(at, size)| {
        let (at, size) = (g.at(at), g.define(size));
        at * size..(at + 1) * size
    })
}
