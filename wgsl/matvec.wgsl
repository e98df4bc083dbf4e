// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for few rows
// x [T, K], w [count, K], y [T, stride]
// one group for COLUMNS columns n and ROWS rows r; TEAM lanes share a column and stride over its quads
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

const QUADS: u32 = K / 4u;
// Quads of w that a lane asks for before it uses the first of them.
const AHEAD: u32 = 4u;

var<workgroup> parts: array<f32, ROWS * LANES>;

@compute @workgroup_size(LANES)
fn matvec(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.y * ROWS;
    let rows_alive = live();
    if first_row >= rows_alive {
        return;
    }
    let member = lane % TEAM;
    let column = group.x * COLUMNS + lane / TEAM;
    // What is past the last row or column repeats the last one and is not stored.
    let source = min(column, params.count - 1u) * QUADS;
    var row_source: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        row_source[r] = min(first_row + r, rows_alive - 1u) * QUADS;
    }
    var sums: array<vec4<f32>, ROWS>;
    var at = member;
    for (; at + (AHEAD - 1u) * TEAM < QUADS; at += AHEAD * TEAM) {
        let w0 = unpack_w(w[source + at]);
        let w1 = unpack_w(w[source + at + TEAM]);
        let w2 = unpack_w(w[source + at + 2u * TEAM]);
        let w3 = unpack_w(w[source + at + 3u * TEAM]);
        for (var r = 0u; r < ROWS; r++) {
            let x_at = row_source[r] + at;
            var sum = fma(unpack_x(x[x_at]), w0, sums[r]);
            sum = fma(unpack_x(x[x_at + TEAM]), w1, sum);
            sum = fma(unpack_x(x[x_at + 2u * TEAM]), w2, sum);
            sums[r] = fma(unpack_x(x[x_at + 3u * TEAM]), w3, sum);
        }
    }
    for (; at < QUADS; at += TEAM) {
        let quad = unpack_w(w[source + at]);
        for (var r = 0u; r < ROWS; r++) {
            sums[r] = fma(unpack_x(x[row_source[r] + at]), quad, sums[r]);
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        parts[r * LANES + lane] = (sums[r].x + sums[r].y) + (sums[r].z + sums[r].w);
    }
    workgroupBarrier();
    for (var members = TEAM; members > 1u;) {
        let half = (members + 1u) / 2u;
        if member < members - half {
            for (var r = 0u; r < ROWS; r++) {
                parts[r * LANES + lane] += parts[r * LANES + lane + half];
            }
        }
        workgroupBarrier();
        members = half;
    }
    // The group's results, spread over its lanes so that neighbours store neighbours.
    for (var i = lane; i < ROWS * COLUMNS; i += LANES) {
        let row = first_row + i / COLUMNS;
        let n = group.x * COLUMNS + i % COLUMNS;
        if row < rows_alive && n < params.count {
            let sum = parts[i / COLUMNS * LANES + i % COLUMNS * TEAM];
            let to = row * params.stride + params.first + n;
            if ADD == 1u {
                y[to] += sum;
            } else {
                y[to] = sum;
            }
        }
    }
}
