// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for many rows, on matrix units; a sum runs through k in order, EDGE at a time
// x [T, K], w [count, K], both f16, y [T, stride]
// one group for TILE_ROWS × TILE_COLUMNS of y, a block of squares to each of its ROW_TEAMS × COLUMN_TEAMS subgroups
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Quad_x>;
@group(0) @binding(2) var<storage, read> w: array<Quad_w>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

struct Params {
    first: u32,
    count: u32,
    stride: u32,
}
@group(0) @binding(4) var<uniform> params: Params;

const TEAMS: u32 = ROW_TEAMS * COLUMN_TEAMS;
const WIDTH: u32 = LANES / TEAMS;
// Squares of one subgroup.
const ROWS: u32 = TILE_ROWS / ROW_TEAMS / EDGE;
const COLUMNS: u32 = TILE_COLUMNS / COLUMN_TEAMS / EDGE;
const QUADS: u32 = K / 4u;
const SLICE: u32 = 32u;
const SLICE_QUADS: u32 = SLICE / 4u;
const SLICES: u32 = (QUADS + SLICE_QUADS - 1u) / SLICE_QUADS;
// Two quads more than a slice has, which puts neighbouring rows into different banks.
const PITCH: u32 = SLICE_QUADS + 2u;
const X_SLICE: u32 = TILE_ROWS * PITCH;
const W_SLICE: u32 = TILE_COLUMNS * PITCH;
// Quads that a lane fetches of a slice, and rows from one of them to the next.
const X_FETCHES: u32 = TILE_ROWS * SLICE_QUADS / LANES;
const W_FETCHES: u32 = TILE_COLUMNS * SLICE_QUADS / LANES;
const STRIDE: u32 = LANES / SLICE_QUADS;

const_assert ROWS * ROW_TEAMS * EDGE == TILE_ROWS && COLUMNS * COLUMN_TEAMS * EDGE == TILE_COLUMNS;
const_assert X_FETCHES * STRIDE == TILE_ROWS && W_FETCHES * STRIDE == TILE_COLUMNS;

// One slice is multiplied while the next one is stored.
var<workgroup> x_slices: array<vec4<f16>, 2u * X_SLICE>;
var<workgroup> w_slices: array<vec4<f16>, 2u * W_SLICE>;
// One square of each subgroup on its way to rows or columns that may not exist.
var<workgroup> squares: array<f32, TEAMS * EDGE * EDGE>;

var<private> x_fetched: array<vec4<f16>, X_FETCHES>;
var<private> w_fetched: array<vec4<f16>, W_FETCHES>;

// Fetches this lane's quads of a slice. Past the last row or column the last one repeats; past K there is zero.
fn fetch(slice: u32, first_row: u32, first_column: u32, lane: u32) {
    let quad = slice * SLICE_QUADS + lane % SLICE_QUADS;
    let at = lane / SLICE_QUADS;
    let last_row = live() - 1u;
    let last_column = params.count - 1u;
    for (var i = 0u; i < X_FETCHES; i++) {
        x_fetched[i] = vec4<f16>();
        if QUADS % SLICE_QUADS == 0u || quad < QUADS {
            x_fetched[i] = x[min(first_row + at + i * STRIDE, last_row) * QUADS + quad];
        }
    }
    for (var i = 0u; i < W_FETCHES; i++) {
        w_fetched[i] = vec4<f16>();
        if QUADS % SLICE_QUADS == 0u || quad < QUADS {
            w_fetched[i] = w[min(first_column + at + i * STRIDE, last_column) * QUADS + quad];
        }
    }
}

fn stage(half: u32, lane: u32) {
    let at = lane / SLICE_QUADS * PITCH + lane % SLICE_QUADS;
    for (var i = 0u; i < X_FETCHES; i++) {
        x_slices[half * X_SLICE + at + i * STRIDE * PITCH] = x_fetched[i];
    }
    for (var i = 0u; i < W_FETCHES; i++) {
        w_slices[half * W_SLICE + at + i * STRIDE * PITCH] = w_fetched[i];
    }
}

@compute @workgroup_size(LANES)
fn matmul_mma(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) team: u32,
    @builtin(subgroup_invocation_id) member: u32,
) {
    let first_row = group.y * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let rows_alive = live();
    if first_row >= rows_alive {
        return;
    }
    let team_row = team / COLUMN_TEAMS * ROWS * EDGE;
    let team_column = team % COLUMN_TEAMS * COLUMNS * EDGE;
    var sums: array<Sum, ROWS * COLUMNS>;
    for (var i = 0u; i < ROWS * COLUMNS; i++) {
        sums[i] = Sum();
    }
    fetch(0u, first_row, first_column, lane);
    for (var slice = 0u; slice < SLICES; slice++) {
        let half = slice & 1u;
        stage(half, lane);
        workgroupBarrier();
        fetch(min(slice + 1u, SLICES - 1u), first_row, first_column, lane);
        for (var k = 0u; k < SLICE / EDGE; k++) {
            var left: array<Left, ROWS>;
            for (var i = 0u; i < ROWS; i++) {
                let at = half * X_SLICE + (team_row + i * EDGE) * PITCH + k * EDGE / 4u;
                left[i] = coopLoadT<Left>(&x_slices[at], PITCH);
            }
            for (var j = 0u; j < COLUMNS; j++) {
                let at = half * W_SLICE + (team_column + j * EDGE) * PITCH + k * EDGE / 4u;
                let right = coopLoad<Right>(&w_slices[at], PITCH);
                for (var i = 0u; i < ROWS; i++) {
                    let a = left[i];
                    let c = sums[i * COLUMNS + j];
                    sums[i * COLUMNS + j] = coopMultiplyAdd(a, right, c);
                }
            }
        }
    }
    // The same for all lanes of the group: whether every row and column of its tile exists.
    let whole = first_row + TILE_ROWS <= rows_alive && first_column + TILE_COLUMNS <= params.count;
    let stride = params.stride;
    for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < COLUMNS; j++) {
            let row = first_row + team_row + i * EDGE;
            let column = first_column + team_column + j * EDGE;
            let sum = sums[i * COLUMNS + j];
            if whole && ADD == 0u {
                let to = row * stride + params.first + column;
                coopStoreT(sum, &y[to], stride);
            } else {
                let from_team = team * EDGE * EDGE;
                let pitch = EDGE;
                coopStoreT(sum, &squares[from_team], pitch);
                workgroupBarrier();
                for (var e = member; e < EDGE * EDGE; e += WIDTH) {
                    if row + e / EDGE < rows_alive && column + e % EDGE < params.count {
                        let to = (row + e / EDGE) * stride + params.first + column + e % EDGE;
                        y[to] = select(0.0, y[to], ADD == 1u) + squares[from_team + e];
                    }
                }
                workgroupBarrier();
            }
        }
    }
}
