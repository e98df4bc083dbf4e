//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for many rows, on matrix units: f16 by f16 with sums in f32.
//! Quantized weights are converted to f16 on the way to workgroup memory, or [earlier](super::dequantize).

use std::ops::Range;

use half::f16;

use crate::{
    compute::{
        caps::Caps,
        cost::{Bytes, Cost, Load},
        dtype::DType,
        kernel::{Binding, Dispatch, Element, Group, Kernel, Scalar},
        tensor::Tensor,
    },
    kernels::operands::{
        matrix::{Part, Product},
        recorder::Recorder,
        step,
    },
};

/// One workgroup per TILE_ROWS × TILE_COLUMNS tile of y.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_mma",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::F16),
        Binding::read("w", Element::MatrixOperand),
        Binding::update("y", Element::F32),
    ],
    params: &[("first", Scalar::U32(0)), ("count", Scalar::U32(0)), ("stride", Scalar::U32(0))],
    library: &["step", "matrix"],
    lanes: 128,
    source: source!("matmul_mma"),
    cpu,
    cost,
};

/// Minimum number of large tiles: about one per multiprocessor of a device.
const MANY: u32 = 64;

/// How a workgroup's tile is split among subgroups.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// Subgroups along the rows and along the columns.
    subgroups: [u32; 2],
    /// Fragments of one subgroup along the rows and along the columns.
    fragments: [u32; 2],
    /// Fragments along a slice of k.
    steps: u32,
}

impl Tile {
    /// Large tiles read less memory; small tiles fill the device if the product is small. The shape of a tile does not
    /// change the summation order.
    fn of([rows, columns]: [u32; 2], size: u32) -> Self {
        let side = 8 * size;
        match (rows.div_ceil(side) * columns.div_ceil(side), size) {
            (MANY.., 16) => Self { subgroups: [2, 4], fragments: [4, 2], steps: 4 },
            (_, 16) => Self { subgroups: [2, 2], fragments: [2, 2], steps: 8 },
            (MANY.., _) => Self { subgroups: [2, 2], fragments: [4, 4], steps: 2 },
            _ => Self { subgroups: [2, 2], fragments: [2, 2], steps: 4 },
        }
    }
}

/// Whether matrix units can compute the product with a matrix part.
pub(crate) fn fits(caps: &Caps, activations: DType, part: &Part) -> bool {
    caps.matrix_units.is_some() && activations == DType::F16 && part.tensor.dtype().suits_matrix_units()
}

/// Matrix rows in the form that the kernel multiplies.
pub(crate) enum Weights<'a> {
    /// A part, as stored.
    Stored(&'a Part),
    /// These rows, already converted to f16 in the first rows of a tensor.
    Dequantized(&'a Tensor, Range<u32>),
}

/// Records the product with some rows of the matrix. The summation order of a row depends only on its length.
pub(crate) fn matmul_mma(r: Recorder<'_>, product: &mut Product<'_>, weights: &Weights<'_>) {
    let Product { x, y, epilogue, .. } = product;
    let (w, of_y, dequantized) = match weights {
        Weights::Stored(part) => (&part.tensor, part.rows(), 0),
        Weights::Dequantized(w, of_y) => (*w, of_y.clone(), 1),
    };
    let size = r.caps().matrix_units.expect("a device with matrix units");
    let width = r.caps().subgroup.map_or(size, |[min_subgroup, _]| min_subgroup);
    let (columns, stride) = (of_y.len() as u32, y.width());
    let Tile { subgroups, fragments, steps } = Tile::of([x.rows(), columns], size);
    let lanes = subgroups[0] * subgroups[1] * width;
    let [tile_rows, tile_columns] = [0, 1].map(|side| subgroups[side] * fragments[side] * size);
    let fetches = |rows: u32| rows * steps * size / 4 / lanes;
    let wide = if w.dtype().is_quantized() { 2 } else { 1 };
    r.dispatch(&KERNEL)
        .define("K", x.width())
        .define("TILE_ROWS", tile_rows)
        .define("TILE_COLUMNS", tile_columns)
        .define("ROW_SUBGROUPS", subgroups[0])
        .define("COLUMN_SUBGROUPS", subgroups[1])
        .define("ROWS", fragments[0])
        .define("COLUMNS", fragments[1])
        .define("STEPS", steps)
        .define("X_FETCHES", fetches(tile_rows))
        .define("W_FETCHES", fetches(tile_columns) / wide)
        .define("W_WIDE", wide)
        .define("ADD", *epilogue as u32)
        .define("DEQUANTIZED", dequantized)
        .lanes(lanes)
        .step(r.step)
        .read(x)
        .read(w)
        .write(y)
        .param("first", of_y.start)
        .param("count", columns)
        .param("stride", stride)
        .grid([columns.div_ceil(tile_columns), x.rows().div_ceil(tile_rows), 1]);
}

/// `dequantize` counts dequantized weights as weights. This kernel reads them as activations.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let cost = super::matvec::cost(d, load);
    if d.size("DEQUANTIZED") == 0 {
        return cost;
    }
    let activations = Bytes { read: cost.activations.read + cost.weights, ..cost.activations };
    Cost { weights: 0, activations, ..cost }
}

fn cpu(g: &Group<'_>) {
    let [rows, columns] = super::matmul::ranges(g);
    super::matvec::tile(g, rows, columns, |weight| f16::from_f32(weight).to_f32());
}
