// y = silu(conv(x)) per channel of q, k, v; S ← decay·S; u = rate·(v − Sᵀk̂); S ← S + k̂ uᵀ; o = norm(Sᵀq̂) · silu(z), for one token
// x [S, STRIDE] of q, k, v, z, b, a; weight [C, 4]; ring [slots, 4·C] by position mod 4; a_dt [2, Hv]; norm [1, Dv]; state [slots, Hv·Dk·Dv]; o [S, Hv·Dv]
// one group a value head and sequence; MEMBERS lanes share a column of the state and pass it through registers
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<Quad_weight>;
@group(0) @binding(3) var<storage, read_write> ring: array<f32>;
@group(0) @binding(4) var<storage, read> a_dt: array<f32>;
@group(0) @binding(5) var<storage, read> norm: array<Quad_norm>;
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
@group(0) @binding(7) var<storage, read_write> o: array<Quad_o>;

struct Params {
    eps: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

const VALUES: u32 = VALUE_HEADS * VALUE_WIDTH;
const CHANNELS: u32 = 2u * KEY_HEADS * KEY_WIDTH + VALUES;
// Behind the channels lie the gate z, b and a.
const STRIDE: u32 = CHANNELS + VALUES + 2u * VALUE_HEADS;
const MEMBERS: u32 = LANES / COLUMNS;
// A lane keeps SHARE elements of a column: every MEMBERS-th, so that neighbours read neighbours.
const KEY: u32 = SHARE * MEMBERS;
const VALUE: u32 = 2u * KEY;

const_assert COLUMNS >= VALUE_WIDTH && LANES % COLUMNS == 0u && KEY >= KEY_WIDTH;

// The head's query, key and value after the convolution, the first two with zeros behind; where the value was, results.
var<workgroup> mixed: array<f32, VALUE + VALUE_WIDTH>;
// A member's part of Sᵀk and Sᵀq for each column, and of q·q, k·k and q·k.
var<workgroup> parts: array<vec2<f32>, LANES>;
var<workgroup> inner: array<vec3<f32>, MEMBERS>;

// What the ring keeps of a channel, so many tokens before the present one; zero before the sequence.
fn before(rows: Span, channel: u32, back: u32) -> f32 {
    let kept = ring[(rows.slot * 4u + (rows.position + 4u - back) % 4u) * CHANNELS + channel];
    return select(0.0, kept, back <= rows.position);
}

// A channel's token after convolution and activation. `owner` keeps the token for later ones: where heads share a key
// head, one of them. Nobody reads what is kept here, for only the three tokens before it are looked at.
fn convolve(rows: Span, channel: u32, owner: bool) -> f32 {
    let taps = unpack_weight(weight[channel]);
    let now = x[rows.row * STRIDE + channel];
    let window = vec3(before(rows, channel, 3u), before(rows, channel, 2u), before(rows, channel, 1u));
    if owner {
        ring[(rows.slot * 4u + rows.position % 4u) * CHANNELS + channel] = now;
    }
    return silu(vec4(fma(taps.w, now, fma(taps.z, window.z, fma(taps.y, window.y, taps.x * window.x))))).x;
}

@compute @workgroup_size(LANES)
fn gdn_decode(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    if group.y >= sequences() {
        return;
    }
    let rows = span(group.y);
    if rows.rows == 0u {
        return;
    }
    let member = lane / COLUMNS;
    let inside = lane % COLUMNS < VALUE_WIDTH;
    // A lane past the last column computes the last one again and stores nothing.
    let n = min(lane % COLUMNS, VALUE_WIDTH - 1u);
    let first = (rows.slot * VALUE_HEADS + head) * KEY_WIDTH * VALUE_WIDTH + n;
    #repeat i SHARE
    var column_$i = 0.0;
    #end
    if rows.position > 0u {
        #repeat i SHARE
        column_$i = state[first + min($iu * MEMBERS + member, KEY_WIDTH - 1u) * VALUE_WIDTH];
        #end
    }
    let row = rows.row * STRIDE;
    let z = x[row + CHANNELS + head * VALUE_WIDTH + n];
    let b = x[row + STRIDE - 2u * VALUE_HEADS + head];
    let a = x[row + STRIDE - VALUE_HEADS + head];
    let decay = exp(-exp(a_dt[head]) * softplus(a + a_dt[VALUE_HEADS + head]));
    let gain = unpack_norm(norm[n / 4u])[n % 4u];
    for (var i = lane; i < VALUE + VALUE_WIDTH; i += LANES) {
        let part = min(i / KEY, 2u);
        let at = i - part * KEY;
        let width = select(KEY_WIDTH, VALUE_WIDTH, part == 2u);
        let base = part * KEY_HEADS * KEY_WIDTH + select(head / SHARING % KEY_HEADS, head, part == 2u) * width;
        let owner = at < width && (part == 2u || (head % SHARING == 0u && head < SHARING * KEY_HEADS));
        mixed[i] = select(0.0, convolve(rows, base + min(at, width - 1u), owner), at < width);
    }
    workgroupBarrier();
    // With Sᵀk and Sᵀq of the state before, Sᵀq after is decay·Sᵀq + (k·q)·u: one exchange of sums instead of two.
    var sums = vec2(0.0);
    var products = vec3(0.0);
    #repeat i SHARE
    let q_$i = mixed[$iu * MEMBERS + member];
    let k_$i = mixed[KEY + $iu * MEMBERS + member];
    sums = fma(vec2(column_$i), vec2(k_$i, q_$i), sums);
    products = fma(vec3(q_$i, k_$i, q_$i), vec3(q_$i, k_$i, k_$i), products);
    #end
    parts[lane] = sums;
    if lane % COLUMNS == 0u {
        inner[member] = products;
    }
    workgroupBarrier();
    sums = vec2(0.0);
    products = vec3(0.0);
    for (var i = 0u; i < MEMBERS; i++) {
        sums += parts[i * COLUMNS + lane % COLUMNS];
        products += inner[i];
    }
    let query_scale = inverseSqrt(products.x + 1e-6) * inverseSqrt(f32(KEY_WIDTH));
    let key_scale = inverseSqrt(products.y + 1e-6);
    let u = sigmoid(vec4(b)).x * (mixed[VALUE + n] - decay * key_scale * sums.x);
    let out = query_scale * fma(decay, sums.y, key_scale * products.z * u);
    #repeat i SHARE
    if inside && $iu * MEMBERS + member < KEY_WIDTH {
        state[first + ($iu * MEMBERS + member) * VALUE_WIDTH] = fma(k_$i, key_scale * u, decay * column_$i);
    }
    #end
    let counted = inside && member == 0u;
    let squares = reduce_sum(select(0.0, out * out, counted), lane);
    if counted {
        mixed[VALUE + n] = out * inverseSqrt(squares / f32(VALUE_WIDTH) + params.eps) * gain * silu(vec4(z)).x;
    }
    workgroupBarrier();
    if lane < VALUE_WIDTH / 4u {
        let at = VALUE + 4u * lane;
        let quad = vec4(mixed[at], mixed[at + 1u], mixed[at + 2u], mixed[at + 3u]);
        o[(rows.row * VALUES + head * VALUE_WIDTH) / 4u + lane] = pack_o(quad);
    }
}
