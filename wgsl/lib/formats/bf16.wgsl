// Floats of 16 bits that are the upper halves of f32: quads, or pieces of WIDE quads that lie side by side. Only read.

#if USE == QUADS
alias Quad_$NAME = vec2<u32>;

fn unpack_$NAME(quad: Quad_$NAME) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(quad.x << 16u, quad.x & 0xffff0000u, quad.y << 16u, quad.y & 0xffff0000u));
}

fn quad_$NAME(at: u32) -> vec4<f32> {
    return unpack_$NAME($NAME[at]);
}
#end
#if USE == PIECES
#if WIDE == 1
alias Wide_$NAME = vec2<u32>;

fn load_$NAME(at: u32) -> Piece {
    let load_0 = $NAME[at * 1u + 0u];
    return Piece(bitcast<vec4<f32>>(vec4(load_0.x << 16u, load_0.x & 0xffff0000u, load_0.y << 16u, load_0.y & 0xffff0000u)));
}
#else
alias Wide_$NAME = vec4<u32>;

fn load_$NAME(at: u32) -> Piece {
    #repeat i LOADS
    let load_$i = $NAME[at * $LOADSu + $iu];
    #end
    return Piece(
        #repeat i LOADS
        bitcast<vec4<f32>>(vec4(load_$i.x << 16u, load_$i.x & 0xffff0000u, load_$i.y << 16u, load_$i.y & 0xffff0000u)),
        bitcast<vec4<f32>>(vec4(load_$i.z << 16u, load_$i.z & 0xffff0000u, load_$i.w << 16u, load_$i.w & 0xffff0000u)),
        #end
    );
}
#end
#end
