//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for few rows: the weights are read once for ROWS of them.

use crate::{
    cost::{Bytes, Cost, Load},
    cpu::Group,
    matrix::Product,
    pass::{Binding, Dispatch, Element, Kernel, Pass, Scalar},
    step::{self, Step, View},
};

/// One group for COLUMNS columns and ROWS rows; TEAM lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "matvec",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Float),
        Binding::read("w", Element::Float),
        Binding::update("y", Element::F32),
    ],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0)), ("stride", Scalar::U32(0))],
    library: &["step"],
    lanes: 256,
    source: source!("matvec"),
    cpu,
    cost,
};

/// Most rows that share one reading of the weights.
const MOST_ROWS: u32 = 8;

/// Records the product for each part of the matrix. The order of a row's sum depends on its length alone.
pub(crate) fn matvec(p: &Pass, step: &Step, product: Product<'_>) {
    let Product { x, w, y, epilogue } = product;
    let [columns, team] = p.caps().tiles.matvec;
    let rows = x.rows().next_power_of_two().min(MOST_ROWS);
    let stride = y.width();
    for part in w.parts() {
        p.dispatch(&KERNEL)
            .define("K", x.width())
            .define("ROWS", rows)
            .define("COLUMNS", columns)
            .define("TEAM", team)
            .define("ADD", epilogue as u32)
            .lanes(columns * team)
            .step(step)
            .read(x)
            .read(&part.tensor)
            .write(y)
            .param("first", part.first)
            .param("count", part.tensor.rows())
            .param("stride", stride)
            .grid([part.tensor.rows().div_ceil(columns), x.rows().div_ceil(rows), 1]);
    }
}

/// The part of the matrix and the rows of x are read once, y is written, and read before where the product is added.
/// K multiply-adds for each element of y.
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
    let rows = g.at(1) * g.define("ROWS")..(g.at(1) + 1) * g.define("ROWS");
    tile(g, rows, g.at(0) * g.define("COLUMNS")..(g.at(0) + 1) * g.define("COLUMNS"));
}

/// The products of some rows and columns: the same sums whichever kernel asks for them.
pub(super) fn tile(g: &Group<'_>, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) {
    let (live, inner, stride) = (View::of(g).live(), g.define("K"), g.word("stride"));
    let (rows, columns) = (rows.start..rows.end.min(live), columns.start..columns.end.min(g.word("count")));
    let x: Vec<Vec<f32>> = rows.clone().map(|row| g.floats(1, row * inner..(row + 1) * inner).to_vec()).collect();
    for (x, row) in x.iter().zip(rows) {
        let y = g.singles_mut(3, row * stride + g.word("first") + columns.start..row * stride + g.word("first") + columns.end.max(columns.start));
        for (y, column) in y.iter_mut().zip(columns.clone()) {
            let sum = g.floats(2, column * inner..(column + 1) * inner).dot(x);
            *y = if g.define("ADD") == 1 { *y + sum } else { sum };
        }
    }
}
