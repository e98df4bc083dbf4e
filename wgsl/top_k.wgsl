// the COUNT largest logits[r, i] with i < limit, in no order; of equal ones the lower ids; NaN counts as the largest
// logits [S, WIDTH], ids, values [S, COUNT]: past the last logit id 2³² − 1 and value −∞
// one group a row: a radix search, 8 bits a round, for the least logit that belongs; then a sweep that collects
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

struct Params {
    limit: u32,
}
@group(0) @binding(4) var<uniform> params: Params;

const NONE: u32 = 0xffffffffu;
const BINS: u32 = 256u;
// Most logits fall into few bins. Lanes count in copies of the histogram, so that fewer lanes share a counter.
const COPIES: u32 = 8u;
const_assert LANES == BINS;

var<workgroup> counts: array<atomic<u32>, BINS * COPIES>;
var<workgroup> above: array<u32, BINS>;
// The digit of the smallest logit of the top, the number of logits with that digit in the top, and their total number.
var<workgroup> found: vec3<u32>;
var<workgroup> stored: atomic<u32>;

// The order of logits: by value with NaN first, then the lower id. It is made of bits, because a driver may assume that
// there is no NaN.
fn order(row: u32, id: u32) -> vec2<u32> {
    let bits = bitcast<u32>(logits[row * WIDTH + id]);
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return vec2(NONE, ~id);
    }
    return vec2(select(bits | 0x80000000u, ~bits, bits >> 31u == 1u), ~id);
}

// The bits of an order that the rounds before `round` have found.
fn settled(round: u32) -> vec2<u32> {
    let upper = 8u * min(round, 4u);
    let lower = 8u * (max(round, 4u) - 4u);
    return vec2(~extractBits(NONE, 0u, 32u - upper), ~extractBits(NONE, 0u, 32u - lower));
}

// One round: counts digits, finds the one that holds the `wanted`-th logit from above.
fn search(row: u32, lane: u32, round: u32, threshold: vec2<u32>, wanted: u32) {
    for (var copy = 0u; copy < COPIES; copy++) {
        atomicStore(&counts[copy * BINS + lane], 0u);
    }
    workgroupBarrier();
    let mask = settled(round);
    let shift = 24u - 8u * (round % 4u);
    for (var id = lane; id < params.limit; id += LANES) {
        let key = order(row, id);
        if all((key & mask) == threshold) {
            let digit = (select(key.y, key.x, round < 4u) >> shift) & 255u;
            atomicAdd(&counts[lane % COPIES * BINS + digit], 1u);
        }
    }
    workgroupBarrier();
    var count = 0u;
    for (var copy = 0u; copy < COPIES; copy++) {
        count += atomicLoad(&counts[copy * BINS + lane]);
    }
    // The number of logits with this digit or a larger one.
    var sum = count;
    for (var reach = 1u; reach < BINS; reach *= 2u) {
        above[lane] = sum;
        workgroupBarrier();
        if lane + reach < BINS {
            sum += above[lane + reach];
        }
        workgroupBarrier();
    }
    if sum >= wanted && sum - count < wanted {
        found = vec3(lane, wanted - (sum - count), count);
    }
}

@compute @workgroup_size(LANES)
fn top_k(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= row_count() {
        return;
    }
    if lane == 0u {
        atomicStore(&stored, 0u);
    }
    workgroupBarrier();
    // Zero is below every logit's order: up to COUNT logits all belong to the top.
    var threshold = vec2(0u);
    if params.limit > COUNT {
        var wanted = COUNT;
        for (var round = 0u; round < 8u; round++) {
            search(row, lane, round, threshold, wanted);
            let digit = workgroupUniformLoad(&found);
            let bits = digit.x << (24u - 8u * (round % 4u));
            threshold |= select(vec2(0u, bits), vec2(bits, 0u), round < 4u);
            wanted = digit.y;
            if digit.y == digit.z {
                break;
            }
        }
    }
    for (var id = lane; id < params.limit; id += LANES) {
        let key = order(row, id);
        if key.x > threshold.x || (key.x == threshold.x && key.y >= threshold.y) {
            let at = row * COUNT + atomicAdd(&stored, 1u);
            ids[at] = id;
            values[at] = logits[row * WIDTH + id];
        }
    }
    for (var i = params.limit + lane; i < COUNT; i += LANES) {
        ids[row * COUNT + i] = NONE;
        var lowest = 0xff800000u;
        values[row * COUNT + i] = bitcast<f32>(lowest);
    }
}
