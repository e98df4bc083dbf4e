// Floats with the upper 16 bits of f32: quads, or pieces of WIDE neighboring quads. Read only.

fn unpack_$NAME(quad: vec2<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(quad.x << 16u, quad.x & 0xffff0000u, quad.y << 16u, quad.y & 0xffff0000u));
}
#if USE == QUADS
alias Quad_$NAME = vec2<u32>;

fn quad_$NAME(at: u32) -> vec4<f32> {
    return unpack_$NAME($NAME[at]);
}
#end
#if USE == PIECES
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
