// y[r, first + n] = silu(s · Σ_k h · gate[n, k]) · (s · Σ_k h · up[n, k]), h = x[r, k] · (1 + norm[k]), s = 1 / sqrt(mean(x[r]²) + eps)
// x [S, K], norm [1, K], gate, up [., K] from rows gate_row and up_row on, y [S, stride]
// one group for COLUMNS columns n and ROWS rows r; a team of TEAM lanes computes SHARE rows of weights: half gate, half up
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Wide_x>;
@group(0) @binding(2) var<storage, read> norm: array<Wide_norm>;
@group(0) @binding(3) var<storage, read> gate: array<Wide_gate>;
@group(0) @binding(4) var<storage, read> up: array<Wide_up>;
@group(0) @binding(5) var<storage, read_write> y: array<Quad_y>;

struct Params {
    rows: u32,
    first: u32,
    count: u32,
    stride: u32,
    gate_row: u32,
    up_row: u32,
    eps: f32,
}
@group(0) @binding(6) var<uniform> params: Params;

const QUADS: u32 = COLUMNS / 4u;
const_assert COLUMNS % 4u == 0u && PAIRS * LANES == COLUMNS * TEAM && SHARE == 2u * PAIRS && VALUES == ROWS * SHARE + ROWS / SHARERS;

var<workgroup> results: array<f32, ROWS * COLUMNS>;

// The row of gate or up for weights j of the team. Past the last column, that column repeats and is not stored.
fn weights_of(j: u32) -> u32 {
    return min(first_column + j % PAIRS, params.count - 1u) + select(params.up_row, params.gate_row, j < PAIRS);
}

#if ROWS_ARE == FLOATS
fn weight(matrix: u32, j: u32, at: u32) -> Piece {
    if j < PAIRS {
        return load_gate(weights_of(j) * PIECES + at);
    }
    return load_up(weights_of(j) * PIECES + at);
}
#else
fn raw(j: u32, at: u32) -> Raw {
    if j < PAIRS {
        return raw_gate(weights_of(j) * BLOCKS + at);
    }
    return raw_up(weights_of(j) * BLOCKS + at);
}

fn codes(j: u32, raw: Raw, at: u32) -> Codes {
    if j < PAIRS {
        return codes_gate(raw, weights_of(j) * BLOCKS + at);
    }
    return codes_up(raw, weights_of(j) * BLOCKS + at);
}
#end

@compute @workgroup_size(LANES)
fn norm_swiglu(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    first_row = group.y * ROWS;
    first_column = group.x * COLUMNS + lane / TEAM * PAIRS;
    let active_rows = row_count();
    var values: array<f32, VALUES>;
    products(&values, lane);
    team_sums(&values, lane);
    let scale = scales(&values, lane, params.eps);
    #repeat r ROWS
    #repeat j PAIRS
    if ($ru * PAIRS + $ju) % TEAM == lane % TEAM {
        let pair = scale[$r] * vec2(values[$ru * SHARE + $ju], values[$ru * SHARE + PAIRS + $ju]);
        results[$ru * COLUMNS + lane / TEAM * PAIRS + $ju] = silu(vec4(pair.x)).x * pair.y;
    }
    #end
    #end
    workgroupBarrier();
    // Neighboring lanes store neighboring quads. All lanes take part, since some types of y have scales.
    for (var start = 0u; start < ROWS * QUADS; start += LANES) {
        let i = min(start + lane, ROWS * QUADS - 1u);
        let row = first_row + i / QUADS;
        let n = group.x * COLUMNS + i % QUADS * 4u;
        let quad = vec4(results[4u * i], results[4u * i + 1u], results[4u * i + 2u], results[4u * i + 3u]);
        let stores = start + lane < ROWS * QUADS && row < active_rows && n < params.count;
        store_y((row * params.stride + params.first + n) / 4u, quad, stores);
    }
}
