// y[first + r, k] = w[r, k] as f16
// w [count, K], f16 or what becomes it, y [rows, K], f16
// one group for SHARE · LANES pairs of quads; a lane has every LANES-th of them
@group(0) @binding(0) var<storage, read> w: array<Quad_w>;
@group(0) @binding(1) var<storage, read_write> y: array<Pair_y>;

struct Params {
    first: u32,
    count: u32,
}
@group(0) @binding(2) var<uniform> params: Params;

// Pairs of quads in a row.
const PAIRS: u32 = K / (4u * W_WIDE);

@compute @workgroup_size(LANES)
fn dequantize(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let begin = group.x * SHARE * LANES + lane;
    let end = params.count * PAIRS;
    // All loads come before the first store: the compiler cannot know that w and y do not overlap.
    #repeat i SHARE
    let at_$i = begin + $iu * LANES;
    let fetch_$i = fetch_w(min(at_$i, end - 1u));
    #end
    #repeat i SHARE
    if at_$i < end {
        let quads = halves_w(fetch_$i);
        y[params.first * PAIRS + at_$i] = pair_y(quads[0], quads[1]);
    }
    #end
}
