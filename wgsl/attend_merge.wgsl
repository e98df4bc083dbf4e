// out[r, h] = Σ_i exp(m_i − m) · sum_i / Σ_i exp(m_i − m) · weight_i · sigmoid(gate[r, h]), over the splits i that are not empty
// sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2] of (m, weight), x [S, STRIDE] with each gate behind its query, out [S, Hq·D]
// one group a query head and row; a lane has one quad of all splits where they are few, else of every PARTS-th, ROUNDS times SHARE
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<Quad_out>;

const QUADS: u32 = HEAD / 4u;
const LOWEST: f32 = -3.0e38;
const_assert PARTS * ROUNDS * SHARE >= SPLITS && PARTS * QUADS == LANES;

// The largest m, the sum of weights and the sums of each part.
var<workgroup> tops: array<vec2<f32>, PARTS>;
var<workgroup> totals: array<vec4<f32>, LANES>;

@compute @workgroup_size(LANES)
fn attend_merge(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y;
    let quad = lane % QUADS;
    let part = lane / QUADS;
    // All loads without dependencies start here, also for rows that are not active.
    let active_rows = row_count();
    let context = span(row).position + 1u;
    let gate = x[row * (STRIDE / 4u) + (2u * group.x + 1u) * QUADS + quad];
    if row >= active_rows {
        return;
    }
    let share = split_share(context);
    let first = (row * Q_HEADS + group.x) * SPLITS;
    // If a lane takes all splits at once, other lanes take none.
    let stride = select(PARTS, 1u, context <= SHARE * share);
    var top = LOWEST;
    var weight = 0.0;
    var sum = vec4(0.0);
    if part < stride {
        // In place of an empty split the first one loads, with weight zero.
        #repeat r ROUNDS
        #repeat i SHARE
        let split_$r_$i = ($ru * SHARE + $iu) * stride + part;
        let counts_$r_$i = split_$r_$i * share < context;
        var stat_$r_$i = vec2<f32>();
        var sum_$r_$i = vec4<f32>();
        #end
        if $ru == 0u || $ru * SHARE * stride * share < context {
            #repeat i SHARE
            stat_$r_$i = stats[first + select(0u, split_$r_$i, counts_$r_$i)];
            sum_$r_$i = sums[(first + select(0u, split_$r_$i, counts_$r_$i)) * QUADS + quad];
            #end
        }
        #end
        #repeat r ROUNDS
        if $ru == 0u || $ru * SHARE * stride * share < context {
            var row_max = top;
            #repeat i SHARE
            row_max = max(row_max, select(LOWEST, stat_$r_$i.x, counts_$r_$i));
            #end
            let fade = exp(top - row_max);
            top = row_max;
            weight *= fade;
            sum *= fade;
            #repeat i SHARE
            let scale_$i = select(0.0, exp(stat_$r_$i.x - top), counts_$r_$i);
            weight = fma(scale_$i, stat_$r_$i.y, weight);
            sum = fma(vec4(scale_$i), sum_$r_$i, sum);
            #end
        }
        #end
    }
    if stride > 1u {
        if quad == 0u {
            tops[part] = vec2(top, weight);
        }
        totals[lane] = sum;
        workgroupBarrier();
        #repeat p PARTS
        let top_$p = tops[$p];
        let total_$p = totals[$pu * QUADS + quad];
        top = max(top, top_$p.x);
        #end
        weight = 0.0;
        sum = vec4(0.0);
        #repeat p PARTS
        let scale_$p = exp(top_$p.x - top);
        weight = fma(scale_$p, top_$p.y, weight);
        sum = fma(vec4(scale_$p), total_$p, sum);
        #end
    }
    store_out((row * Q_HEADS + group.x) * QUADS + quad, sigmoid(gate) / weight * sum, part == 0u);
}
