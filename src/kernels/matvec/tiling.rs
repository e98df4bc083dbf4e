//! How a product of few rows is split among workgroups and lanes.

use crate::{
    compute::{
        caps::{Caps, MatvecSizes},
        dtype::{BLOCK, DType, Packs},
        kernel::{Kernel, RowsAre},
        pass::Builder,
    },
    kernels::operands::recorder::Recorder,
};

/// Workgroup bytes of the sums of one row, for each subgroup: 3 values × 3 copies × 4 bytes.
const SUM_BYTES: u32 = 36;

/// Column count from which a matrix fills every device many times.
const MANY_COLUMNS: u32 = 1 << 15;

/// Minimum number of workgroups before a workgroup grows.
const ENOUGH_GROUPS: u32 = 128;

/// Row width from which packing takes long.
const LONG_ROW: u32 = 4096;

/// Bytes of a packed block of one row of x: 64 for its values, 16 for its terms.
const BLOCK_BYTES: u32 = 80;

/// The sums that a dispatch computes.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Sums<'a> {
    /// Products per sum: the width of x.
    pub(in crate::kernels) inner: u32,
    /// Rows and columns of the output.
    pub(in crate::kernels) output: [u32; 2],
    /// The type of the rows of x.
    pub(in crate::kernels) rows: DType,
    /// The types of the matrices.
    pub(in crate::kernels) weights: &'a [DType],
    /// Extra work of the dispatch.
    pub(in crate::kernels) extras: Extras,
}

/// Extra work of a dispatch beside the plain product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Extras {
    /// Nothing.
    None,
    /// The RMS norm of the rows of x.
    Norm,
    /// The RMS norm, and the columns of a second matrix, of floats.
    NormAndTail,
    /// The RMS norm, and per column one gate row and one up row.
    NormAndGate,
}

impl Extras {
    /// Weight rows per output column.
    fn factors(self) -> u32 {
        if self == Self::NormAndGate { 2 } else { 1 }
    }

    fn has_norm(self) -> bool {
        self != Self::None
    }

    fn has_tail(self) -> bool {
        self == Self::NormAndTail
    }
}

impl Sums<'_> {
    /// The form of the rows in the dispatch, and the packing of the weights.
    fn rows_are(&self, caps: &Caps) -> (RowsAre, Option<Packs>) {
        let packs = self.weights[0].packs();
        let same_packing = self.weights.iter().all(|dtype| dtype.packs() == packs);
        // Workgroup memory for one packed row and a few sums.
        let fits = BLOCK_BYTES * (self.inner / BLOCK as u32) + 1024 <= caps.group_memory;
        match (self.rows, packs) {
            (DType::Packed(rows), Some(weights)) if rows == weights && same_packing => (RowsAre::PackedBefore, packs),
            (DType::Packed(_), _) => panic!("rows packed for other weights than {:?}", self.weights),
            (_, Some(_)) if caps.packed_dots && same_packing && fits => (RowsAre::PackedHere, packs),
            _ => (RowsAre::Floats, packs),
        }
    }
}

/// How a product of few rows is split among workgroups and lanes.
pub(in crate::kernels) struct MatvecTiling {
    rows_are: RowsAre,
    packs: Option<Packs>,
    /// Quads that a lane loads together.
    wide: u32,
    /// Lanes that share a column.
    team: u32,
    lanes: u32,
    /// Teams that share a column of the tail: the tail is small and would finish late with one team per column. Depends
    /// only on the matrices, like the summation order.
    pub(in crate::kernels) spread: u32,
    /// Rows and columns of a workgroup.
    pub(in crate::kernels) rows: u32,
    pub(in crate::kernels) columns: u32,
}

impl MatvecTiling {
    /// The tiling of some sums. The summation order depends only on the matrix, not on the number of columns per team.
    /// A team loads the elements of a row once for all its columns.
    pub(in crate::kernels) fn new(caps: &Caps, sums: &Sums<'_>) -> Self {
        let (rows_are, packs) = sums.rows_are(caps);
        let tiling = match rows_are {
            RowsAre::Floats => Self::floats(caps, sums),
            RowsAre::PackedHere => Self::packed_here(caps, sums),
            RowsAre::PackedBefore => Self::packed_before(caps, sums),
        };
        Self { packs, ..tiling }
    }

    fn floats(caps: &Caps, sums: &Sums<'_>) -> Self {
        let (sizes, inner, factors) = (caps.tiles.matvec, sums.inner, sums.extras.factors());
        let [rows, columns] = sums.output;
        let wide = if sums.weights.iter().any(|dtype| dtype.is_quantized()) {
            BLOCK as u32 / 4
        } else if inner.is_multiple_of(8) {
            2
        } else {
            1
        };
        // A lane has about four pieces of a column in flight; twice as many if the columns fill the device anyway. Then
        // each read of a row serves more columns at once.
        let pieces = if columns < MANY_COLUMNS { 4 } else { 8 } * 2 / wide.max(2);
        let team = floor_power(inner / (4 * wide * pieces)).min(sizes.lanes / 2).max(1);
        let team = if wide > 2 { dividing_team(team, inner / (4 * wide)) } else { team };
        let rows = rows_per_read(rows.next_power_of_two(), columns.saturating_mul(factors * team), sizes);
        // Columns per team: enough lanes must remain to fill the device, and the sums of a lane must fit into its
        // registers.
        let limit = if rows < 4 { 2 } else { 4 } / factors;
        let share = floor_power(columns.saturating_mul(team * rows.min(2)) / sizes.saturating_lanes).min(limit);
        let columns = (sizes.lanes / team * share).max(sizes.columns);
        Self { rows_are: RowsAre::Floats, packs: None, wide, team, lanes: sizes.lanes, spread: 1, rows, columns }
    }

    /// A lane takes blocks of 32 weights. The rows lie packed in workgroup memory.
    fn packed_here(caps: &Caps, sums: &Sums<'_>) -> Self {
        let (sizes, factors, [rows, columns]) = (caps.tiles.matvec, sums.extras.factors(), sums.output);
        let blocks = sums.inner / BLOCK as u32;
        // With few columns, a lane takes few blocks, so that the device stays full.
        let each = floor_power(columns.saturating_mul(factors * blocks) / sizes.saturating_lanes).clamp(2, 8);
        let team = dividing_team(floor_power(blocks / each).min(sizes.lanes / 2).max(1), blocks);
        let in_subgroup = team.min(caps.subgroup.map_or(1, |[min_subgroup, _]| min_subgroup));
        let row_bytes = BLOCK_BYTES * blocks + SUM_BYTES * 4 * sizes.lanes / in_subgroup;
        let sizes = MatvecSizes { rows: floor_power(caps.group_memory / row_bytes).min(sizes.rows), ..sizes };
        let rows = rows_per_read(rows.next_power_of_two(), columns.saturating_mul(factors * team), sizes);
        let share = floor_power(columns.saturating_mul(team * rows.min(2)) / sizes.saturating_lanes).min(2 / factors);
        // Large workgroups pack rows less often. But there should be about one workgroup per multiprocessor.
        let grows = columns < MANY_COLUMNS || sums.inner >= LONG_ROW;
        let wanted = floor_power(columns.saturating_mul(team) / share / ENOUGH_GROUPS);
        let lanes = wanted.clamp(sizes.lanes, sizes.lanes << u32::from(grows));
        let spread = (sizes.lanes / team).clamp(1, 8);
        let columns = (lanes / team * share).max(sizes.columns);
        Self { rows_are: RowsAre::PackedHere, packs: None, wide: 2, team, lanes, spread, rows, columns }
    }

    /// A lane loads all its blocks at once.
    fn packed_before(caps: &Caps, sums: &Sums<'_>) -> Self {
        let (sizes, blocks, [rows, columns]) = (caps.tiles.matvec, sums.inner / BLOCK as u32, sums.output);
        let each = floor_power(columns.saturating_mul(blocks) / sizes.saturating_lanes).clamp(1, 8);
        let team = floor_power(blocks / each).min(sizes.lanes / 2).max(1);
        let rows = rows_per_read(rows.next_power_of_two(), columns.saturating_mul(team), sizes);
        let share = floor_power(columns.saturating_mul(team * rows.min(2)) / sizes.saturating_lanes).min(2);
        let columns = (sizes.lanes / team * share).max(sizes.columns);
        Self {
            rows_are: RowsAre::PackedBefore,
            packs: None,
            wide: 2,
            team,
            lanes: sizes.lanes,
            spread: 1,
            rows,
            columns,
        }
    }

    /// The same tiling with whole runs of `run` columns per workgroup, on up to `lanes` lanes. The number of runs is a
    /// power of two.
    pub(in crate::kernels) fn in_runs(self, run: u32, lanes: u32) -> Self {
        let columns = self.columns.max(run);
        let grown = self.lanes * (columns / self.columns);
        Self { columns, lanes: grown.min(lanes.max(self.lanes)), ..self }
    }

    /// Columns per team.
    pub(in crate::kernels) fn of_team(&self) -> u32 {
        self.columns * self.team / self.lanes
    }

    /// A dispatch with this tiling.
    pub(in crate::kernels) fn dispatch<'a>(
        &self,
        r: Recorder<'a>,
        kernel: &'static Kernel,
        sums: &Sums<'_>,
    ) -> Builder<'a> {
        let (inner, extras) = (sums.inner, sums.extras);
        let share = extras.factors() * self.of_team();
        let [has_norm, has_tail] = [extras.has_norm(), extras.has_tail()].map(u32::from);
        let sharers = if extras.has_norm() && !extras.has_tail() { self.rows.min(self.lanes / self.team) } else { 1 };
        let ahead = match self.rows_are {
            RowsAre::Floats if self.rows < 8 => 16 / (share * self.wide.max(2)),
            RowsAre::Floats => 1,
            RowsAre::PackedHere | RowsAre::PackedBefore => 4 / share,
        };
        let even_odd = self.rows_are != RowsAre::Floats && self.packs == Some(Packs::Nibbles);
        r.dispatch(kernel)
            .define("ROWS_ARE", self.rows_are as u32)
            .define("FLOAT_PRODUCTS", u32::from(self.rows_are == RowsAre::Floats || extras.has_tail()))
            .define("EVEN_ODD", even_odd.into())
            .define("HAS_NORM", has_norm)
            .define("HAS_TAIL", has_tail)
            .define("K", inner)
            .define("WIDE", self.wide)
            .define("ROWS", self.rows)
            .define("COLUMNS", self.columns)
            .define("TEAM", self.team)
            .define("SPREAD", if extras.has_tail() { self.spread } else { 1 })
            .define("SHARE", share)
            .define("AHEAD", ahead.clamp(1, inner.div_ceil(4 * self.wide * self.team)))
            .define("BLOCKS_AHEAD", blocks_ahead(inner.div_ceil(BLOCK as u32 * self.team), share))
            .define("SHARERS", sharers)
            .define("VALUES", self.rows * share + has_norm * self.rows / sharers)
            .lanes(self.lanes)
    }
}

/// Blocks of a column that a lane loads before it uses the first one: all blocks if they are few. Else as many as leave
/// lanes their registers: the next blocks load while these are multiplied.
fn blocks_ahead(turns: u32, columns: u32) -> u32 {
    const LIMIT: u32 = 2;
    if turns * columns <= LIMIT { turns } else { (LIMIT / columns).max(1) }
}

/// `team` lanes, or a half or a quarter of them, if that splits `pieces` evenly; else `team`. With few pieces per lane,
/// a partial last round costs as much as a full round.
fn dividing_team(team: u32, pieces: u32) -> u32 {
    let teams = [team, team / 2, team / 4].into_iter().filter(|team| *team > 0);
    teams.into_iter().find(|team| pieces.is_multiple_of(*team)).unwrap_or(team)
}

/// How many of `rows` rows share one read of the weights, with `lanes` lanes per row. Enough lanes must remain to hide
/// memory latency. Workgroups of other rows find the weights in a cache.
fn rows_per_read(rows: u32, lanes: u32, sizes: MatvecSizes) -> u32 {
    let mut rows_per_read = rows.min(sizes.rows);
    while rows_per_read > 1 && lanes.saturating_mul(rows / rows_per_read) < sizes.saturating_lanes.saturating_mul(3) {
        rows_per_read /= 2;
    }
    rows_per_read
}

/// The largest power of two that is at most `value`; 1 for 0.
fn floor_power(value: u32) -> u32 {
    1 << value.max(1).ilog2()
}
