// y[r, first + n] = s · Σ_k x[r, k] · (1 + norm[k]) · w[n, k], s = 1 / sqrt(mean(x[r]²) + eps), for few rows
// x [S, K], norm [1, K], w [count, K], y [S, stride]
// one group for COLUMNS columns n and ROWS rows r; a team of TEAM lanes computes SHARE columns, and the squares with them
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Wide_x>;
@group(0) @binding(2) var<storage, read> norm: array<Wide_norm>;
@group(0) @binding(3) var<storage, read> w: array<Wide_w>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

struct Params {
    rows: u32,
    first: u32,
    count: u32,
    stride: u32,
    eps: f32,
}
@group(0) @binding(5) var<uniform> params: Params;

const_assert SHARE * LANES == COLUMNS * TEAM && VALUES == ROWS * SHARE + ROWS / SHARERS;

var<private> first_row: u32;
var<private> first_column: u32;

// What is past the last row or column repeats the last one and is not stored.
fn input(r: u32, at: u32) -> Piece {
    return load_x(min(first_row + r, params.rows - 1u) * PIECES + at);
}

fn weight(j: u32, at: u32) -> Piece {
    return load_w(min(first_column + j, params.count - 1u) * PIECES + at);
}

fn gain(at: u32) -> Piece {
    var piece = load_norm(at);
    #repeat q WIDE
    piece[$q] += vec4(1.0);
    #end
    return piece;
}

@compute @workgroup_size(LANES)
fn norm_matvec(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    first_row = group.y * ROWS;
    first_column = group.x * COLUMNS + lane / TEAM * SHARE;
    let alive = live();
    var values: array<f32, VALUES>;
    dots(&values, lane);
    team_sums(&values, lane);
    let scale = scales(&values, lane, params.eps);
    #repeat r ROWS
    #repeat j SHARE
    if ($ru * SHARE + $ju) % TEAM == lane % TEAM && first_row + $ru < alive && first_column + $ju < params.count {
        y[(first_row + $ru) * params.stride + params.first + first_column + $ju] = values[$ru * SHARE + $ju] * scale[$r];
    }
    #end
    #end
}
