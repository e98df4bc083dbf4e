// y = silu(conv(x)) per channel of q, k, v; S ← decay·S; u = beta·(v − Sᵀk̂); S ← S + k̂ uᵀ; o = norm(Sᵀq̂) · silu(z), for one token
// x [S, STRIDE] of q, k, v, z, b, a; weight [C, 4]; conv_state [slots, 4·C] by position mod 4; a_dt [2, Hv]; norm [1, Dv]; state [slots, Hv·Dk·Dv]; o [S, Hv·Dv]
// one group a value head and sequence; MEMBERS lanes share a column of the state and pass it through registers
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<Quad_weight>;
@group(0) @binding(3) var<storage, read_write> conv_state: array<f32>;
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
// After the channels come the gate z, b and a.
const STRIDE: u32 = CHANNELS + VALUES + 2u * VALUE_HEADS;
const MEMBERS: u32 = LANES / COLUMNS;
// A lane keeps SHARE elements of a column, side by side.
const KEY: u32 = SHARE * MEMBERS;

const_assert COLUMNS >= VALUE_WIDTH && LANES % COLUMNS == 0u && KEY >= KEY_WIDTH;

// The head's query and key after the convolution, as pairs padded with zeros; its value, later its results.
var<workgroup> pairs: array<vec2<f32>, KEY>;
var<workgroup> mixed: array<f32, VALUE_WIDTH>;
// A member's part of Sᵀk and Sᵀq for each column, and of q·q, k·k and q·k.
var<workgroup> parts: array<vec2<f32>, LANES>;
var<workgroup> inner: array<vec3<f32>, MEMBERS>;

// A channel in conv_state, `back` tokens before the current one. It is zero before the sequence.
fn before(rows: Span, channel: u32, back: u32) -> f32 {
    let kept = conv_state[(rows.slot * 4u + (rows.position + 4u - back) % 4u) * CHANNELS + channel];
    return select(0.0, kept, back <= rows.position);
}

// A channel's token after convolution and activation. `owner` stores the token for later ones: one of the heads that
// share a key head. No lane reads the stored token in this step, since the convolution reads only the three tokens
// before it.
fn convolve(rows: Span, channel: u32, owner: bool) -> f32 {
    let taps = unpack_weight(weight[channel]);
    let now = x[rows.row * STRIDE + channel];
    let window = vec3(before(rows, channel, 3u), before(rows, channel, 2u), before(rows, channel, 1u));
    if owner {
        conv_state[(rows.slot * 4u + rows.position % 4u) * CHANNELS + channel] = now;
    }
    return silu(vec4(fma(taps.w, now, fma(taps.z, window.z, fma(taps.y, window.y, taps.x * window.x))))).x;
}

@compute @workgroup_size(LANES)
fn gdn_decode(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let rows = span(group.y);
    if group.y >= sequences() || rows.rows == 0u {
        return;
    }
    let member = lane / COLUMNS;
    let inside = lane % COLUMNS < VALUE_WIDTH;
    // A lane past the last column repeats that column and stores nothing.
    let n = min(lane % COLUMNS, VALUE_WIDTH - 1u);
    let first = (rows.slot * VALUE_HEADS + head) * KEY_WIDTH * VALUE_WIDTH + n;
    #repeat i SHARE
    var column_$i = 0.0;
    #end
    if rows.position > 0u {
        #repeat i SHARE
        column_$i = state[first + min(member * SHARE + $iu, KEY_WIDTH - 1u) * VALUE_WIDTH];
        #end
    }
    let row = rows.row * STRIDE;
    let z = x[row + CHANNELS + head * VALUE_WIDTH + n];
    let b = x[row + STRIDE - 2u * VALUE_HEADS + head];
    let a = x[row + STRIDE - VALUE_HEADS + head];
    let decay = exp(-exp(a_dt[head]) * softplus(a + a_dt[VALUE_HEADS + head]));
    let gain = unpack_norm(norm[n / 4u])[n % 4u];
    for (var i = lane; i < 2u * KEY + VALUE_WIDTH; i += LANES) {
        let part = min(i / KEY, 2u);
        let at = i - part * KEY;
        let width = select(KEY_WIDTH, VALUE_WIDTH, part == 2u);
        let base = part * KEY_HEADS * KEY_WIDTH + select(head / SHARING % KEY_HEADS, head, part == 2u) * width;
        let owner = at < width && (part == 2u || (head % SHARING == 0u && head < SHARING * KEY_HEADS));
        let y = select(0.0, convolve(rows, base + min(at, width - 1u), owner), at < width);
        if part == 2u {
            mixed[at] = y;
        } else {
            pairs[at][part] = y;
        }
    }
    workgroupBarrier();
    // With Sᵀk and Sᵀq of the state before, Sᵀq after is decay·Sᵀq + (k·q)·u: one exchange of sums instead of two.
    var sums = vec2(0.0);
    #repeat i SHARE
    let pair_$i = pairs[member * SHARE + $iu];
    sums = fma(vec2(column_$i), pair_$i.yx, sums);
    #end
    parts[lane] = sums;
    var products = vec3(0.0);
    if lane % COLUMNS == 0u {
        #repeat i SHARE
        products = fma(pair_$i.xyx, pair_$i.xyy, products);
        #end
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
    let u = sigmoid(vec4(b)).x * (mixed[n] - decay * key_scale * sums.x);
    let out = query_scale * fma(decay, sums.y, key_scale * products.z * u);
    #repeat i SHARE
    if inside && member * SHARE + $iu < KEY_WIDTH {
        state[first + (member * SHARE + $iu) * VALUE_WIDTH] = fma(pair_$i.y, key_scale * u, decay * column_$i);
    }
    #end
    let counted = inside && member == 0u;
    let squares = reduce_sum(select(0.0, out * out, counted), lane);
    if counted {
        mixed[n] = out * inverseSqrt(squares / f32(VALUE_WIDTH) + params.eps) * gain * silu(vec4(z)).x;
    }
    workgroupBarrier();
    let at = min(lane, VALUE_WIDTH / 4u - 1u);
    let quad = vec4(mixed[4u * at], mixed[4u * at + 1u], mixed[4u * at + 2u], mixed[4u * at + 3u]);
    store_o((rows.row * VALUES + head * VALUE_WIDTH) / 4u + at, quad, lane < VALUE_WIDTH / 4u);
}
