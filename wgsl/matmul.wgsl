// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for many rows; a sum runs through k in order
// x [T, K], w [count, K], y [T, stride]
// one group for TILE_ROWS × TILE_COLUMNS of y, 4 × 4 to a lane; both operands pass by in slices of k through group memory
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

const_assert TILE_ROWS % 4u == 0u && TILE_COLUMNS % 4u == 0u && 16u * LANES == TILE_ROWS * TILE_COLUMNS;

const QUADS: u32 = K / 4u;
const SLICE: u32 = 32u;
const SLICE_QUADS: u32 = SLICE / 4u;
const SLICES: u32 = (K + SLICE - 1u) / SLICE;
// A slice of both tiles is staged in blocks of 4 × 4 elements, transposed on the way.
const ROW_BLOCKS: u32 = TILE_ROWS / 4u;
const COLUMN_BLOCKS: u32 = TILE_COLUMNS / 4u;
const BLOCKS: u32 = (ROW_BLOCKS + COLUMN_BLOCKS) * SLICE_QUADS;
const BLOCKS_PER_LANE: u32 = (BLOCKS + LANES - 1u) / LANES;
// Neighboring lanes store blocks of the same rows and neighboring k: swapping rows by k spreads them over the banks.
const ROW_SWAP: u32 = select(0u, 7u, ROW_BLOCKS % 8u == 0u);
const COLUMN_SWAP: u32 = select(0u, 7u, COLUMN_BLOCKS % 8u == 0u);

// Element k of 4 rows at [k][row / 4].
var<workgroup> x_slice: array<vec4<f32>, SLICE * ROW_BLOCKS>;
// Element k of 4 columns at [k][column / 4].
var<workgroup> w_slice: array<vec4<f32>, SLICE * COLUMN_BLOCKS>;

// A lane's blocks of the next slice: 4 quads each.
var<private> fetched: array<vec4<f32>, 4u * BLOCKS_PER_LANE>;

// Fetches this lane's blocks of a slice. Past the last row or column, that one repeats. Past K there are zeros.
fn fetch(slice: u32, first_row: u32, first_column: u32, lane: u32) {
    let last_row = row_count() - 1u;
    let last_column = params.count - 1u;
    for (var i = 0u; i < BLOCKS_PER_LANE; i++) {
        let block = lane + i * LANES;
        let quad = slice * SLICE_QUADS + block % SLICE_QUADS;
        let strip = block / SLICE_QUADS;
        for (var j = 0u; j < 4u; j++) {
            var value = vec4(0.0);
            if block < BLOCKS && quad < QUADS {
                if strip < ROW_BLOCKS {
                    value = quad_x(min(first_row + 4u * strip + j, last_row) * QUADS + quad);
                } else {
                    value = quad_w(min(first_column + 4u * (strip - ROW_BLOCKS) + j, last_column) * QUADS + quad);
                }
            }
            fetched[4u * i + j] = value;
        }
    }
}

// Stores the fetched blocks in workgroup memory.
fn stage(lane: u32) {
    for (var i = 0u; i < BLOCKS_PER_LANE; i++) {
        let block = lane + i * LANES;
        if block < BLOCKS {
            let quad = block % SLICE_QUADS;
            let strip = block / SLICE_QUADS;
            let transposed = transpose(mat4x4(fetched[4u * i], fetched[4u * i + 1u], fetched[4u * i + 2u], fetched[4u * i + 3u]));
            for (var j = 0u; j < 4u; j++) {
                let k = 4u * quad + j;
                if strip < ROW_BLOCKS {
                    x_slice[k * ROW_BLOCKS + (strip ^ (quad & ROW_SWAP))] = transposed[j];
                } else {
                    w_slice[k * COLUMN_BLOCKS + ((strip - ROW_BLOCKS) ^ (quad & COLUMN_SWAP))] = transposed[j];
                }
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.y * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let active_rows = row_count();
    if first_row >= active_rows {
        return;
    }
    let row_block = lane / COLUMN_BLOCKS;
    let column_block = lane % COLUMN_BLOCKS;
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    fetch(0u, first_row, first_column, lane);
    for (var slice = 0u; slice < SLICES; slice++) {
        stage(lane);
        workgroupBarrier();
        if slice + 1u < SLICES {
            fetch(slice + 1u, first_row, first_column, lane);
        }
        for (var k = 0u; k < SLICE; k++) {
            let rows = x_slice[k * ROW_BLOCKS + (row_block ^ ((k / 4u) & ROW_SWAP))];
            let columns = w_slice[k * COLUMN_BLOCKS + (column_block ^ ((k / 4u) & COLUMN_SWAP))];
            sum0 = fma(rows.xxxx, columns, sum0);
            sum1 = fma(rows.yyyy, columns, sum1);
            sum2 = fma(rows.zzzz, columns, sum2);
            sum3 = fma(rows.wwww, columns, sum3);
        }
        workgroupBarrier();
    }
    let sums = array(sum0, sum1, sum2, sum3);
    for (var r = 0u; r < 4u; r++) {
        let row = first_row + 4u * row_block + r;
        for (var c = 0u; c < 4u; c++) {
            let n = first_column + 4u * column_block + c;
            if row < active_rows && n < params.count {
                let to = row * params.stride + params.first + n;
                if ADD == 1u {
                    y[to] += sums[r][c];
                } else {
                    y[to] = sums[r][c];
                }
            }
        }
    }
}
