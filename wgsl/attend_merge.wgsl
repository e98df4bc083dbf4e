// out[r, h] = Σ_i exp(m_i − m) · sum_i / Σ_i exp(m_i − m) · weight_i · sigmoid(gate[r, h]), over the splits i that are not empty
// sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2] of (m, weight), x [S, STRIDE] with each gate behind its query, out [S, Hq·D]
// one group a query head and row; a lane has one quad of every PARTS-th split
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<Quad_out>;

const QUADS: u32 = HEAD / 4u;
const PARTS: u32 = LANES / QUADS;
const LOWEST: f32 = -3.0e38;
const_assert PARTS * SHARE >= SPLITS && QUADS <= LANES;

// Each part's largest m and sum of weights, and its sums.
var<workgroup> tops: array<vec2<f32>, PARTS>;
var<workgroup> totals: array<vec4<f32>, LANES>;

@compute @workgroup_size(LANES)
fn attend_merge(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y;
    if row >= live() {
        return;
    }
    let context = span(row).position + 1u;
    let share = split_share(context);
    let count = (context + share - 1u) / share;
    let quad = lane % QUADS;
    let part = lane / QUADS;
    let first = (row * Q_HEADS + group.x) * SPLITS;
    // All at once; past the last split it is repeated, and weighs nothing.
    #repeat i SHARE
    let split_$i = first + min($iu * PARTS + part, count - 1u);
    let stat_$i = stats[split_$i];
    let sum_$i = sums[split_$i * QUADS + quad];
    #end
    let gate = x[row * (STRIDE / 4u) + (2u * group.x + 1u) * QUADS + quad];
    var top = LOWEST;
    #repeat i SHARE
    let counts_$i = $iu * PARTS + part < count;
    top = max(top, select(LOWEST, stat_$i.x, counts_$i));
    #end
    var weight = 0.0;
    var sum = vec4(0.0);
    #repeat i SHARE
    let scale_$i = select(0.0, exp(stat_$i.x - top), counts_$i);
    weight = fma(scale_$i, stat_$i.y, weight);
    sum = fma(vec4(scale_$i), sum_$i, sum);
    #end
    if quad == 0u {
        tops[part] = vec2(top, weight);
    }
    totals[lane] = sum;
    workgroupBarrier();
    if part > 0u {
        return;
    }
    for (var other = 0u; other < PARTS; other++) {
        top = max(top, tops[other].x);
    }
    weight = 0.0;
    sum = vec4(0.0);
    for (var other = 0u; other < PARTS; other++) {
        let scale = exp(tops[other].x - top);
        weight = fma(scale, tops[other].y, weight);
        sum = fma(vec4(scale), totals[other * QUADS + quad], sum);
    }
    out[(row * Q_HEADS + group.x) * QUADS + quad] = pack_out(sum / weight * sigmoid(gate));
}
