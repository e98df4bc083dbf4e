// Floats of 16 bits: quads, pieces of WIDE neighboring quads, or operands of matrix units. Where SHADER_F16 is 0, the
// device has no f16 type.

#if USE == QUADS
#if SHADER_F16
alias Quad_$NAME = vec4<f16>;

fn unpack_$NAME(quad: Quad_$NAME) -> vec4<f32> {
    return vec4<f32>(quad);
}
#else
alias Quad_$NAME = vec2<u32>;

fn unpack_$NAME(quad: Quad_$NAME) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y));
}
#end
#if WRITES

fn pack_$NAME(value: vec4<f32>) -> Quad_$NAME {
    // Values saturate instead of becoming infinite. A driver may clamp NaN to anything, so NaN bypasses the clamp. Bits
    // detect NaN, because compilers may assume that there is none.
    let nan = (bitcast<vec4<u32>>(value) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    let bounded = select(clamp(value, vec4(-65504.0), vec4(65504.0)), value, nan);
    #if SHADER_F16
    return vec4<f16>(bounded);
    #else
    return vec2<u32>(pack2x16float(bounded.xy), pack2x16float(bounded.zw));
    #end
}
#else

fn quad_$NAME(at: u32) -> vec4<f32> {
    return unpack_$NAME($NAME[at]);
}
#end
#end
#if USE == PIECES
fn unpack_$NAME(quad: vec2<u32>) -> vec4<f32> {
    return vec4(unpack2x16float(quad.x), unpack2x16float(quad.y));
}

#if WIDE == 1
alias Wide_$NAME = vec2<u32>;

fn load_$NAME(at: u32) -> Piece {
    return Piece(unpack_$NAME($NAME[at]));
}
#else
alias Wide_$NAME = vec4<u32>;

fn load_$NAME(at: u32) -> Piece {
    #repeat i LOADS
    let load_$i = $NAME[at * $LOADSu + $iu];
    #end
    return Piece(
        #repeat i LOADS
        unpack_$NAME(load_$i.xy),
        unpack_$NAME(load_$i.zw),
        #end
    );
}
#end
#end
#if USE == FETCHES
#if WRITES
// Two quads, stored at once. Packing an f16 value again changes nothing.
alias Pair_$NAME = vec4<u32>;

fn pair_$NAME(first: vec4<f16>, last: vec4<f16>) -> vec4<u32> {
    return vec4(
        pack2x16float(vec2<f32>(first.xy)),
        pack2x16float(vec2<f32>(first.zw)),
        pack2x16float(vec2<f32>(last.xy)),
        pack2x16float(vec2<f32>(last.zw))
    );
}
#else
alias Quad_$NAME = vec4<f16>;
#if PAIRS
alias Fetch_$NAME = array<vec4<f16>, 2>;

fn fetch_$NAME(at: u32) -> Fetch_$NAME {
    return Fetch_$NAME($NAME[2u * at], $NAME[2u * at + 1u]);
}

fn halves_$NAME(fetch: Fetch_$NAME) -> Fetch_$NAME {
    return fetch;
}
#else
alias Fetch_$NAME = vec4<f16>;

fn fetch_$NAME(at: u32) -> vec4<f16> {
    return $NAME[at];
}

fn halves_$NAME(fetch: vec4<f16>) -> array<vec4<f16>, 1> {
    return array(fetch);
}
#end
#end
#end
