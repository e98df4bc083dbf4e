// y[r, first + n] = s · Σ_k x[r, k] · (1 + norm[k]) · w[n, k], s = 1 / sqrt(mean(x[r]²) + eps), for few rows
// x [S, K], norm [1, K], w [count, K], y [S, stride]; where HAS_TAIL is 1, the columns of tail [tail_count, K] follow those of w
// one group for COLUMNS columns n of one matrix and ROWS rows r; a team of TEAM lanes computes SHARE columns, and the squares
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Wide_x>;
@group(0) @binding(2) var<storage, read> norm: array<Wide_norm>;
@group(0) @binding(3) var<storage, read> w: array<Wide_w>;
@group(0) @binding(4) var<storage, read> tail: array<Wide_tail>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

struct Params {
    rows: u32,
    first: u32,
    count: u32,
    tail_count: u32,
    stride: u32,
    eps: f32,
}
@group(0) @binding(6) var<uniform> params: Params;

const_assert SHARE * LANES == COLUMNS * TEAM && VALUES == ROWS * SHARE + ROWS / SHARERS;

// Columns of the workgroup's matrix.
var<private> columns: u32;

// Column j of the team. Past the last column it repeats that column, which is not stored.
fn column_of(j: u32) -> u32 {
    return min(first_column + j, columns - 1u);
}

// Matrix 0 is w, and matrix 1 is the tail.
fn weight(matrix: u32, j: u32, at: u32) -> Piece {
    #if HAS_TAIL
    if matrix == 1u {
        return load_tail(column_of(j) * PIECES + at);
    }
    #end
    #if ROWS_ARE == FLOATS
    return load_w(column_of(j) * PIECES + at);
    #else
    return Piece();
    #end
}

#if ROWS_ARE != FLOATS
fn raw(j: u32, at: u32) -> Raw {
    return raw_w(column_of(j) * BLOCKS + at);
}

fn codes(j: u32, raw: Raw, at: u32) -> Codes {
    return codes_w(raw, column_of(j) * BLOCKS + at);
}
#end

#if HAS_TAIL
var<workgroup> spread_parts: array<f32, VALUES * LANES / TEAM>;

// Adds the sums of SPREAD neighboring teams.
fn spread_sums(values: ptr<function, array<f32, VALUES>>, lane: u32) {
    if lane % TEAM == 0u {
        for (var i = 0u; i < VALUES; i++) {
            spread_parts[lane / TEAM * VALUES + i] = (*values)[i];
        }
    }
    workgroupBarrier();
    for (var i = 0u; i < VALUES; i++) {
        (*values)[i] = 0.0;
        for (var team = 0u; team < SPREAD; team++) {
            (*values)[i] += spread_parts[(lane / STRIDERS * SPREAD + team) * VALUES + i];
        }
    }
}
#end

@compute @workgroup_size(LANES)
fn norm_matvec(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    first_row = group.y * ROWS;
    // The workgroups of the second matrix follow those of the first.
    let groups = (params.count + COLUMNS - 1u) / COLUMNS;
    let in_tail = HAS_TAIL == 1u && group.x >= groups;
    if in_tail {
        first_column = (group.x - groups) * (COLUMNS / SPREAD) + lane / STRIDERS * SHARE;
    } else {
        first_column = group.x * COLUMNS + lane / TEAM * SHARE;
    }
    columns = select(params.count, params.tail_count, in_tail);
    let first = params.first + select(0u, params.count, in_tail);
    let active_rows = row_count();
    var values: array<f32, VALUES>;
    #if HAS_TAIL
    if in_tail {
        dots(&values, lane, 1u);
    }
    #end
    if !in_tail {
        products(&values, lane);
    }
    team_sums(&values, lane);
    #if HAS_TAIL
    if SPREAD > 1u && in_tail {
        spread_sums(&values, lane);
    }
    #end
    // One of the teams with the same sums stores them.
    let strided = select(TEAM, STRIDERS, in_tail);
    let scale = scales(&values, lane, params.eps);
    #repeat r ROWS
    #repeat j SHARE
    if ($ru * SHARE + $ju) % TEAM == lane % strided && first_row + $ru < active_rows && first_column + $ju < columns {
        y[(first_row + $ru) * params.stride + first + first_column + $ju] = values[$ru * SHARE + $ju] * scale[$r];
    }
    #end
    #end
}
