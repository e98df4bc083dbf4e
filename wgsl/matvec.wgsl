// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for few rows
// x [S, K], w [count, K], y [S, stride]
// one group for COLUMNS columns n and ROWS rows r; a team of TEAM lanes computes SHARE columns
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Wide_x>;
@group(0) @binding(2) var<storage, read> w: array<Wide_w>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

struct Params {
    rows: u32,
    first: u32,
    count: u32,
    stride: u32,
}
@group(0) @binding(4) var<uniform> params: Params;

const_assert SHARE * LANES == COLUMNS * TEAM && VALUES == ROWS * SHARE;

// Column j of the team. Past the last column it repeats that column, which is not stored.
fn column_of(j: u32) -> u32 {
    return min(first_column + j, params.count - 1u);
}

#if ROWS_ARE == FLOATS
fn weight(matrix: u32, j: u32, at: u32) -> Piece {
    return load_w(column_of(j) * PIECES + at);
}
#else
fn raw(j: u32, at: u32) -> Raw {
    return raw_w(column_of(j) * BLOCKS + at);
}

fn codes(j: u32, raw: Raw, at: u32) -> Codes {
    return codes_w(raw, column_of(j) * BLOCKS + at);
}
#end

@compute @workgroup_size(LANES)
fn matvec(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    first_row = group.y * ROWS;
    first_column = group.x * COLUMNS + lane / TEAM * SHARE;
    let active_rows = row_count();
    // Prefill may need no logits. In a decode step every workgroup has a row, so it need not wait for the row count.
    if ROW_COUNT == STEP_OUTPUT_COUNT && group.y * ROWS >= active_rows {
        return;
    }
    var values: array<f32, VALUES>;
    products(&values, lane);
    team_sums(&values, lane);
    #repeat r ROWS
    #repeat j SHARE
    if ($ru * SHARE + $ju) % TEAM == lane % TEAM && first_row + $ru < active_rows && first_column + $ju < params.count {
        let to = (first_row + $ru) * params.stride + params.first + first_column + $ju;
        if ADD == 1u {
            y[to] += values[$ru * SHARE + $ju];
        } else {
            y[to] = values[$ru * SHARE + $ju];
        }
    }
    #end
    #end
}
