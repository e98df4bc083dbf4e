//! y\[r, first + n\] (+)= Σ_k x\[r, k\] · w\[n, k\], for few rows: the weights are read once for ROWS of them.

use std::ops::Range;

use crate::{
    backend::{Caps, Few},
    cost::{Bytes, Cost, Load},
    cpu::{Floats, Group},
    dtype::{DType, Packs},
    matrix::{Matrix, Product},
    pass::{Binding, Builder, Dispatch, Element, Kernel, Pass, Scalar},
    quant::{BLOCK, packed::rounded},
    step::{self, Step, View},
};

/// One group for COLUMNS columns and ROWS rows; TEAM lanes share a column.
pub static KERNEL: Kernel = Kernel {
    name: "matvec",
    bindings: &[
        step::BINDING,
        Binding::read("x", Element::Wide),
        Binding::read("w", Element::Wide),
        Binding::update("y", Element::F32),
    ],
    params: &[
        ("rows", Scalar::U32(0)),
        ("first", Scalar::U32(0)),
        ("count", Scalar::U32(0)),
        ("stride", Scalar::U32(0)),
    ],
    library: &["step", "pieces", "dots", "packed", "sums"],
    lanes: 128,
    source: source!("matvec"),
    cpu,
    cost,
};

/// Bytes of a group's memory through which the sums of one row go, for each bundle of its lanes: three numbers in three
/// places at the most.
const SUMMED: u32 = 36;

/// Columns of a matrix that fills every device many times over.
const MANY: u32 = 1 << 15;

/// Groups that are wanted before they grow.
const GROUPS: u32 = 128;

/// Rows that take long to pack.
const LONG: u32 = 4096;

/// Bytes of a packed block of one row of x: 64 for numbers, 16 for what belongs to them.
const PACKED: u32 = 80;

/// What products of few rows sum: `inner` products each, with a row of each of some matrices for a column.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    pub(super) inner: u32,
    /// The type of the rows of x.
    pub(super) rows: DType,
    /// The types of the matrices.
    pub(super) weights: &'a [DType],
}

impl Sums<'_> {
    /// How weights are multiplied here.
    fn way(self, caps: &Caps) -> Way {
        let alike = self.weights.iter().all(|dtype| dtype.packs() == self.weights[0].packs());
        // One row, and what a few sums take.
        let room = PACKED * (self.inner / BLOCK as u32) + 1024 <= caps.group_memory;
        match self.weights[0].packs() {
            Some(packs) if self.rows == DType::Packed(packs) && alike => Way::Taken(packs),
            _ if matches!(self.rows, DType::Packed(_)) => {
                panic!("rows packed for other weights than {:?}", self.weights)
            }
            Some(packs) if caps.packed_dots && alike && room => Way::Packed(packs),
            _ => Way::Plain,
        }
    }
}

/// How weights are multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As floats.
    Plain,
    /// As bytes, four at a time, with rows of x turned into pairs of bytes.
    Packed(Packs),
    /// The same with rows that another launch has turned into them.
    Taken(Packs),
}

/// How a product with few rows is shared out among groups and lanes.
pub(super) struct Shares {
    way: Way,
    /// Quads that a lane loads together.
    wide: u32,
    /// Lanes that share a column.
    team: u32,
    lanes: u32,
    /// Teams that share a column of a second matrix, which is small and would be late with one for each: like the order of
    /// sums it depends on the matrices alone.
    pub(super) spread: u32,
    /// Rows and columns of a group.
    pub(super) rows: u32,
    pub(super) columns: u32,
}

impl Shares {
    /// For sums of `inner` products, `columns` sums for each of `rows` rows. The order of a sum depends on the matrix
    /// alone: how many columns a team computes, for which it loads a row's elements once, does not matter to it. A column
    /// takes `factors` rows of weights.
    pub(super) fn new(caps: &Caps, sums: Sums<'_>, [rows, columns]: [u32; 2], factors: u32) -> Self {
        let (few, inner) = (caps.tiles.matvec, sums.inner);
        let way = sums.way(caps);
        match way {
            Way::Plain => {}
            Way::Packed(_) => return Self::packed(caps, (way, inner), [rows, columns], factors),
            Way::Taken(_) => return Self::taken(caps, (way, inner), [rows, columns]),
        }
        let wide = match sums.weights.iter().any(|dtype| dtype.is_quantised()) {
            true => BLOCK as u32 / 4,
            false if inner.is_multiple_of(8) => 2,
            false => 1,
        };
        // A lane has about four pieces of a column in flight; twice as many where columns fill the device anyhow, since
        // what neighbours read of a row is then read for more columns at once.
        let pieces = if columns < MANY { 4 } else { 8 } * 2 / wide.max(2);
        let team = floor_power(inner / (4 * wide * pieces)).min(few.lanes / 2).max(1);
        let team = if wide > 2 { divided(team, inner / (4 * wide)) } else { team };
        let rows = together(rows.next_power_of_two(), columns.saturating_mul(factors * team), few);
        // As many columns as leave enough lanes to fill the device, and no more sums than a lane has registers for.
        let most = if rows < 4 { 2 } else { 4 } / factors;
        let share = floor_power(columns.saturating_mul(team * rows.min(2)) / few.fill).min(most);
        Self {
            way,
            wide,
            team,
            lanes: few.lanes,
            spread: 1,
            rows,
            columns: (few.lanes / team * share).max(few.columns),
        }
    }

    /// The same for packed bytes: a lane has blocks of 32 weights, and a group's rows lie packed in its memory.
    fn packed(caps: &Caps, (way, inner): (Way, u32), [rows, columns]: [u32; 2], factors: u32) -> Self {
        let (few, blocks) = (caps.tiles.matvec, inner / BLOCK as u32);
        // Few blocks for a lane where columns are few, so that the device is full all the same.
        let each = floor_power(columns.saturating_mul(factors * blocks) / few.fill).clamp(2, 8);
        let team = divided(floor_power(blocks / each).min(few.lanes / 2).max(1), blocks);
        let bundle = team.min(caps.subgroup.map_or(1, |[least, _]| least));
        let of_row = PACKED * blocks + SUMMED * 4 * few.lanes / bundle;
        let most = floor_power(caps.group_memory / of_row).min(few.rows);
        let few = Few { rows: most, ..few };
        let rows = together(rows.next_power_of_two(), columns.saturating_mul(factors * team), few);
        let share = floor_power(columns.saturating_mul(team * rows.min(2)) / few.fill).min(2 / factors);
        // Large groups pack rows less often; as many as there are multiprocessors, or nearly, are wanted anyhow.
        let grown = columns < MANY || inner >= LONG;
        let lanes =
            floor_power(columns.saturating_mul(team) / share / GROUPS).clamp(few.lanes, few.lanes << u32::from(grown));
        let spread = (few.lanes / team).clamp(1, 8);
        Self { way, wide: 2, team, lanes, spread, rows, columns: (lanes / team * share).max(few.columns) }
    }

    /// The same for rows that come packed: all that a lane needs is asked for at once.
    fn taken(caps: &Caps, (way, inner): (Way, u32), [rows, columns]: [u32; 2]) -> Self {
        let (few, blocks) = (caps.tiles.matvec, inner / BLOCK as u32);
        let each = floor_power(columns.saturating_mul(blocks) / few.fill).clamp(1, 8);
        let team = floor_power(blocks / each).min(few.lanes / 2).max(1);
        let rows = together(rows.next_power_of_two(), columns.saturating_mul(team), few);
        let share = floor_power(columns.saturating_mul(team * rows.min(2)) / few.fill).min(2);
        Self {
            way,
            wide: 2,
            team,
            lanes: few.lanes,
            spread: 1,
            rows,
            columns: (few.lanes / team * share).max(few.columns),
        }
    }

    /// The same with whole runs of columns for each group, of which there are a power of two, by up to `lanes` lanes.
    pub(super) fn in_runs(self, run: u32, lanes: u32) -> Self {
        let columns = self.columns.max(run);
        let grown = self.lanes * (columns / self.columns);
        Self { columns, lanes: grown.min(lanes.max(self.lanes)), ..self }
    }

    /// Columns of one team.
    pub(super) fn of_team(&self) -> u32 {
        self.columns * self.team / self.lanes
    }

    /// A launch so shared out, that takes `factors` rows of weights for each column, norms rows where `norm` is 1, and has a
    /// second matrix of floats where `tail` is 1.
    pub(super) fn dispatch<'a>(
        &self,
        p: &'a Pass,
        kernel: &'static Kernel,
        inner: u32,
        [factors, norm, tail]: [u32; 3],
    ) -> Builder<'a> {
        let share = factors * self.of_team();
        let sharers = if norm == 1 && tail == 0 { self.rows.min(self.lanes / self.team) } else { 1 };
        let ahead = match self.way {
            Way::Plain if self.rows < 8 => 16 / (share * self.wide.max(2)),
            Way::Plain => 1,
            Way::Packed(_) | Way::Taken(_) => 4 / share,
        };
        let [plain, packs, takes] = match self.way {
            Way::Plain => [1, 0, 0],
            Way::Packed(_) => [0, 1, 0],
            Way::Taken(_) => [0, 0, 1],
        };
        p.dispatch(kernel)
            .define("PACKED", 1 - plain)
            .define("PLAIN", plain)
            .define("PACKS", packs)
            .define("TAKES", takes)
            .define("UNPACKED", 1 - takes)
            .define("FLOATS", plain.max(tail))
            .define("TAIL", tail)
            .define("NIBBLES", u32::from(matches!(self.way, Way::Packed(Packs::Nibbles) | Way::Taken(Packs::Nibbles))))
            .define("K", inner)
            .define("WIDE", self.wide)
            .define("ROWS", self.rows)
            .define("COLUMNS", self.columns)
            .define("TEAM", self.team)
            .define("SPREAD", if tail == 1 { self.spread } else { 1 })
            .define("SHARE", share)
            .define("AHEAD", ahead.clamp(1, inner.div_ceil(4 * self.wide * self.team)))
            .define("BLOCKS_AHEAD", blocks_ahead(inner.div_ceil(BLOCK as u32 * self.team), share))
            .define("NORM", norm)
            .define("SHARERS", sharers)
            .define("VALUES", self.rows * share + norm * self.rows / sharers)
            .lanes(self.lanes)
    }
}

/// Blocks of a column that a lane asks for before it uses the first: all of few, else as many as leave lanes their registers,
/// since the next ones are on their way while these are multiplied.
fn blocks_ahead(turns: u32, columns: u32) -> u32 {
    const MOST: u32 = 2;
    if turns * columns <= MOST { turns } else { (MOST / columns).max(1) }
}

/// What a product of few rows takes, where what makes them has whole runs of `run` elements: rows packed where its weights
/// are multiplied as bytes, else `inputs`.
pub(crate) fn takes(caps: &Caps, w: &Matrix, (inputs, run): (DType, u32)) -> DType {
    let packs = w.parts()[0].tensor.dtype().packs();
    let alike = w.parts().iter().all(|part| part.tensor.dtype().packs() == packs);
    match packs {
        Some(packs) if caps.packed_dots && alike && run.is_multiple_of(BLOCK as u32) => DType::Packed(packs),
        _ => inputs,
    }
}

/// As many lanes, or a half or a quarter of them, as share out `pieces` evenly, if some do: where a lane has few pieces, a
/// last round of some lanes alone costs as much as a whole one.
fn divided(team: u32, pieces: u32) -> u32 {
    let teams = [team, team / 2, team / 4].into_iter().filter(|team| *team > 0);
    teams.into_iter().find(|team| pieces.is_multiple_of(*team)).unwrap_or(team)
}

/// How many of `rows` rows share a group's reading of the weights, where `lanes` lanes compute one row: as many as leave
/// lanes enough to hide what each waits for. Groups of other rows find the weights in a cache.
fn together(rows: u32, lanes: u32, few: Few) -> u32 {
    let mut together = rows.min(few.rows);
    while together > 1 && lanes.saturating_mul(rows / together) < few.fill.saturating_mul(3) {
        together /= 2;
    }
    together
}

/// The largest power of two that is no larger; 1 for 0.
fn floor_power(value: u32) -> u32 {
    1 << value.max(1).ilog2()
}

/// Records the product for each part of the matrix.
pub(crate) fn matvec(p: &Pass, step: &Step, product: Product<'_>) {
    let Product { x, w, y, epilogue } = product;
    let stride = y.width();
    for part in w.parts() {
        let count = part.tensor.rows();
        let shares = Shares::new(
            p.caps(),
            Sums { inner: x.width(), rows: x.dtype(), weights: &[part.tensor.dtype()] },
            [x.rows(), count],
            1,
        );
        shares
            .dispatch(p, &KERNEL, x.width(), [1, 0, 0])
            .define("ADD", epilogue as u32)
            .step(step)
            .read(x)
            .read(&part.tensor)
            .write(y)
            .param("rows", x.rows())
            .param("first", part.first)
            .param("count", count)
            .param("stride", stride)
            .grid([count.div_ceil(shares.columns), x.rows().div_ceil(shares.rows), 1]);
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
    let (rows, columns) = ranges(g);
    tile(g, [rows, columns], |weight| weight);
}

/// The rows and columns of a group.
pub(super) fn ranges(g: &Group<'_>) -> (Range<usize>, Range<usize>) {
    let range = |at: usize, size: usize| at * size..(at + 1) * size;
    (range(g.at(1), g.define("ROWS")), range(g.at(0), g.define("COLUMNS")))
}

/// The products of some rows and columns: the same sums whichever kernel asks for them. Quantised weights become what
/// `narrowed` makes of them.
pub(super) fn tile(g: &Group<'_>, [rows, columns]: [Range<usize>; 2], narrowed: fn(f32) -> f32) {
    let (live, inner, stride) = (View::of(g).live(), g.define("K"), g.word("stride"));
    let (rows, columns) = (rows.start..rows.end.min(live), columns.start..columns.end.min(g.word("count")));
    let x = |row: usize| g.floats(1, row * inner..(row + 1) * inner).to_vec();
    let xs: Vec<_> =
        rows.clone().map(|row| if g.known("PACKS") == Some(1) { rounded(&x(row)) } else { x(row) }).collect();
    for column in columns {
        let stored = g.floats(2, column * inner..(column + 1) * inner);
        // Once for all rows.
        let quantised = matches!(stored, Floats::Quantised(_));
        let singles = quantised.then(|| stored.to_vec().into_iter().map(narrowed).collect::<Vec<_>>());
        let weights = singles.as_deref().map_or(stored, Floats::F32);
        for (row, x) in rows.clone().zip(&xs) {
            let at = row * stride + g.word("first") + column;
            let (y, sum) = (&mut g.singles_mut(3, at..at + 1)[0], weights.dot(x));
            *y = if g.define("ADD") == 1 { *y + sum } else { sum };
        }
    }
}
