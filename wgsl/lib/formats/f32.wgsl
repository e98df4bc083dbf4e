// Floats of 32 bits: quads, or pieces of WIDE neighboring quads.

#if USE == QUADS
alias Quad_$NAME = vec4<f32>;

fn unpack_$NAME(quad: Quad_$NAME) -> vec4<f32> {
    return quad;
}
#if WRITES

fn pack_$NAME(value: vec4<f32>) -> Quad_$NAME {
    return value;
}
#else

fn quad_$NAME(at: u32) -> vec4<f32> {
    return unpack_$NAME($NAME[at]);
}
#end
#end
#if USE == PIECES
alias Wide_$NAME = vec4<f32>;

fn load_$NAME(at: u32) -> Piece {
    #repeat i WIDE
    let load_$i = $NAME[at * $WIDEu + $iu];
    #end
    return Piece(
        #repeat i WIDE
        load_$i,
        #end
    );
}
#end
