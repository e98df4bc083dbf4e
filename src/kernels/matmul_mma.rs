//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for many rows, on matrix units: f16 by f16 with sums in f32.

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
        Binding::read("w", Element::F16),
        Binding::update("y", Element::F32),
    ],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0)), ("stride", Scalar::U32(0))],
    library: &["step", "matrix"],
    lanes: 128,
    source: source!("matmul_mma"),
    cpu,
    cost: super::matvec::cost,
};

/// How a group's tile is shared out.
#[derive(Clone, Copy, Debug)]
struct Tile {
    rows: u32,
    columns: u32,
    /// Subgroups along the rows and along the columns.
    teams: [u32; 2],
}

/// Whether the product with a part of a matrix can be left to matrix units.
pub(crate) fn fits(caps: &Caps, product: &Product<'_>, part: &Part) -> bool {
    caps.matrix_units.is_some() && [product.x.dtype(), part.tensor.dtype()] == [DType::F16; 2]
}

/// Large tiles read less, small ones fill the device where there are few columns. The shape of a tile does not change
/// the order of a sum.
fn tile(caps: &Caps, columns: u32) -> Tile {
    let room = caps.group_memory >= 48 << 10;
    match columns {
        2048.. if room => Tile { rows: 128, columns: 128, teams: [2, 4] },
        _ => Tile { rows: 64, columns: 64, teams: [2, 2] },
    }
}

/// Records the product with one part of the matrix. The order of a row's sum depends on its length alone.
pub(crate) fn matmul_mma(p: &Pass, step: &Step, product: &mut Product<'_>, part: &Part) {
    let Product { x, y, epilogue, .. } = product;
    let columns = part.tensor.rows();
    let Tile { rows: tile_rows, columns: tile_columns, teams } = tile(p.caps(), columns);
    let width = p.caps().subgroup.map_or(32, |[least, _]| least);
    let stride = y.width();
    p.dispatch(&KERNEL)
        .define("K", x.width())
        .define("TILE_ROWS", tile_rows)
        .define("TILE_COLUMNS", tile_columns)
        .define("ROW_TEAMS", teams[0])
        .define("COLUMN_TEAMS", teams[1])
        .define("ADD", *epilogue as u32)
        .lanes(teams[0] * teams[1] * width)
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
    super::matmul::cpu(g);
}
