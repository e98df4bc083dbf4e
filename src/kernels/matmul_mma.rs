//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for many rows, on matrix units: f16 by f16 with sums in f32.
//! Quantised weights become f16 on their way into group memory.

use half::f16;

use crate::{
    backend::Caps,
    cpu::Group,
    dtype::DType,
    matrix::{Part, Product},
    pass::{Binding, Element, Kernel, Pass, Scalar},
    step::{self, Step},
};

/// One group for a tile of TILE_ROWS × TILE_COLUMNS of y.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_mma",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::F16),
        Binding::read("w", Element::Halves),
        Binding::update("y", Element::F32),
    ],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0)), ("stride", Scalar::U32(0))],
    library: &["step", "matrix"],
    lanes: 128,
    source: source!("matmul_mma"),
    cpu,
    cost: super::matvec::cost,
};

/// Large tiles of which a device is given at least as many as it has multiprocessors, or nearly.
const MANY: u32 = 64;

/// How a group's tile is shared out.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// Subgroups along the rows and along the columns.
    teams: [u32; 2],
    /// Squares of one subgroup along the rows and along the columns.
    squares: [u32; 2],
    /// Squares of a slice of k.
    steps: u32,
}

impl Tile {
    /// Large tiles read less, small ones fill the device where the product is small. The shape of a tile does not change
    /// the order of a sum.
    fn of([rows, columns]: [u32; 2], edge: u32) -> Self {
        let side = 8 * edge;
        match (rows.div_ceil(side) * columns.div_ceil(side), edge) {
            (MANY.., 16) => Self { teams: [2, 4], squares: [4, 2], steps: 4 },
            (_, 16) => Self { teams: [2, 2], squares: [2, 2], steps: 8 },
            (MANY.., _) => Self { teams: [2, 2], squares: [4, 4], steps: 2 },
            _ => Self { teams: [2, 2], squares: [2, 2], steps: 4 },
        }
    }
}

/// Whether the product with a part of a matrix can be left to matrix units.
pub(crate) fn fits(caps: &Caps, product: &Product<'_>, part: &Part) -> bool {
    caps.matrix_units.is_some() && product.x.dtype() == DType::F16 && part.tensor.dtype().has_halves()
}

/// Records the product with one part of the matrix. The order of a row's sum depends on its length alone.
pub(crate) fn matmul_mma(p: &Pass, step: &Step, product: &mut Product<'_>, part: &Part) {
    let Product { x, y, epilogue, .. } = product;
    let edge = p.caps().matrix_units.expect("matrix units");
    let width = p.caps().subgroup.map_or(edge, |[least, _]| least);
    let (columns, stride) = (part.tensor.rows(), y.width());
    let Tile { teams, squares, steps } = Tile::of([x.rows(), columns], edge);
    let lanes = teams[0] * teams[1] * width;
    let [tile_rows, tile_columns] = [0, 1].map(|side| teams[side] * squares[side] * edge);
    let fetches = |rows: u32| rows * steps * edge / 4 / lanes;
    let wide = if part.tensor.dtype().is_quantised() { 2 } else { 1 };
    p.dispatch(&KERNEL)
        .define("K", x.width())
        .define("TILE_ROWS", tile_rows)
        .define("TILE_COLUMNS", tile_columns)
        .define("ROW_TEAMS", teams[0])
        .define("COLUMN_TEAMS", teams[1])
        .define("ROWS", squares[0])
        .define("COLUMNS", squares[1])
        .define("STEPS", steps)
        .define("X_FETCHES", fetches(tile_rows))
        .define("W_FETCHES", fetches(tile_columns) / wide)
        .define("W_WIDE", wide)
        .define("ADD", *epilogue as u32)
        .lanes(lanes)
        .step(step)
        .read(x)
        .read(&part.tensor)
        .write(y)
        .param("first", part.first)
        .param("count", columns)
        .param("stride", stride)
        .grid([columns.div_ceil(tile_columns), x.rows().div_ceil(tile_rows), 1]);
}

fn cpu(g: &Group<'_>) {
    super::matvec::tile(g, super::matmul::ranges(g), |weight| f16::from_f32(weight).to_f32());
}
