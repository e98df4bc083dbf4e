// The words of a quantized matrix: single words, or four at a time where a lane reads whole blocks.
#if VECTORS
alias Wide_$NAME = vec4<u32>;
#else
alias Quad_$NAME = u32;
#end

fn word_$NAME(at: u32) -> u32 {
    #if VECTORS
    return $NAME[at / 4u][at % 4u];
    #else
    return $NAME[at];
    #end
}
