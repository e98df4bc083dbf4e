// Heads of 8 bits, one to a row: signed bytes in one plane, and an f32 scale for each head in the next plane.

#if USE == QUADS
alias Quad_$NAME = u32;

// Quad `at`, counted through all heads.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let scaled = vec2($NAME[at], $NAME[$SECOND_PLANEu + at / $HEAD_QUADSu]);
    return quad_of_bytes(scaled.x, bitcast<f32>(scaled.y));
}
#if KEEPS

// Stores quad `at` of a head, and the bits of the head's scale with its first quad.
fn keep_$NAME(at: u32, quad: vec4<f32>, scale: u32) {
    $NAME[at] = codes_of(quad, scale);
    if at % $HEAD_QUADSu == 0u {
        $NAME[$SECOND_PLANEu + at / $HEAD_QUADSu] = scale;
    }
}
#end
#end
#if USE == PIECES
alias Wide_$NAME = vec$WIDE<u32>;

// Piece `at`, counted through all heads.
fn load_$NAME(at: u32) -> Piece {
    let words = $NAME[at];
    let place = $SECOND_PLANEu + at / $HEAD_PIECESu;
    let scale = bitcast<f32>($NAME[place / $WIDEu][place % $WIDEu]);
    return Piece(
        #repeat i WIDE
        quad_of_bytes(words[$i], scale),
        #end
    );
}
#end
#if USE == FETCHES
alias Quad_$NAME = u32;
alias Fetch_$NAME = vec2<u32>;

// Loads the word of quad `at`, and the bits of its head's scale.
fn fetch_$NAME(at: u32) -> vec2<u32> {
    return vec2($NAME[at], $NAME[$SECOND_PLANEu + at / $HEAD_QUADSu]);
}

fn halves_$NAME(fetch: vec2<u32>) -> array<vec4<f16>, 1> {
    return array(vec4<f16>(quad_of_bytes(fetch.x, bitcast<f32>(fetch.y))));
}
#end
