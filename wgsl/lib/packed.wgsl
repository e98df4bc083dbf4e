// `products` of quantized weights on devices that multiply four bytes at once. Rows are 16-bit numbers in two bytes
// each, and 32 of them share a scale. TEAM lanes stride over blocks of 32. Where rows are PACKED_HERE, the workgroup
// packs its rows; where they are PACKED_BEFORE, an earlier dispatch did.
// Needs the same as `dots`, with pieces of two quads, and `raw(j, at)`: the words of block `at` of column j, and
// `codes(j, raw, at)`: that block as packed bytes. Packed rows need `block_of_row(r, at)` instead of `input`.
// Where EVEN_ODD is 1, even and odd elements of each eight are apart, as `codes` has them.
#if ROWS_ARE != FLOATS

const BLOCKS: u32 = K / 32u;
const TURNS: u32 = (BLOCKS + TEAM - 1u) / TEAM;
const RAGGED_BLOCKS: bool = BLOCKS % (BLOCKS_AHEAD * TEAM) != 0u;

#if ROWS_ARE == PACKED_HERE
const ITEMS: u32 = ROWS * 4u * BLOCKS;

// [row][high, high, low, low bytes of 16 elements][block]
var<workgroup> row_codes: array<vec4<u32>, ITEMS>;
// [row][block]: scale, sums of the first and the last 16 elements, sum of squares before the norm's gain
var<workgroup> row_terms: array<vec4<f32>, ROWS * BLOCKS>;

// Four lanes pack a block of one row. All lanes take part; lanes past the end of the last row repeat it.
fn pack_rows(lane: u32) {
    for (var start = 0u; start < ITEMS; start += LANES) {
        let item = min(start + lane, ITEMS - 4u + lane % 4u);
        let row = item / (4u * BLOCKS);
        let at = item % (4u * BLOCKS);
        let block = at / 4u;
        let quarter = at % 4u;
        var piece = input(row, at);
        var squares = dot_piece(piece, piece, 0.0);
        #if HAS_NORM
        piece = scaled(piece, gain(at));
        #end
        squares += subgroupShuffleXor(squares, 1u);
        squares += subgroupShuffleXor(squares, 2u);
        if EVEN_ODD == 1u {
            piece = Piece(vec4(piece[0].xz, piece[1].xz), vec4(piece[0].yw, piece[1].yw));
        }
        let coded = coded(piece[0], piece[1], 1u);
        if quarter == 0u {
            row_terms[row * BLOCKS + block] = vec4(coded.terms, squares);
        }
        let high = (row * 4u + quarter / 2u) * BLOCKS + block;
        let low = high + 2u * BLOCKS;
        let word = quarter % 2u * 2u;
        row_codes[high][word] = coded.high.x;
        row_codes[high][word + 1u] = coded.high.y;
        row_codes[low][word] = coded.low.x;
        row_codes[low][word + 1u] = coded.low.y;
    }
    workgroupBarrier();
}

fn block_of_row(r: u32, at: u32) -> Row_block {
    let first = r * 4u * BLOCKS + at;
    return Row_block(row_codes[first], row_codes[first + BLOCKS], row_codes[first + 2u * BLOCKS], row_codes[first + 3u * BLOCKS],
        row_terms[r * BLOCKS + at]);
}
#end

fn dot_bytes(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

// Adds the products of one block of each row and each column. Past the end of the rows it adds zero.
fn multiply(sums: ptr<function, array<f32, VALUES>>, at: u32, w: array<Codes, SHARE>, sharer: u32) {
    #repeat r ROWS
    var row_$r = block_of_row($ru, min(at, BLOCKS - 1u));
    if RAGGED_BLOCKS && at >= BLOCKS {
        row_$r.terms = vec4(0.0);
    }
    #if HAS_NORM
    if $ru % SHARERS == sharer {
        (*sums)[ROWS * SHARE + $ru / SHARERS] += row_$r.terms.w;
    }
    #end
    #repeat j SHARE
    let both_$r_$j = vec2(
        256 * dot_bytes(row_$r.high, w[$j].first) + dot_bytes(row_$r.low, w[$j].first),
        256 * dot_bytes(row_$r.high_last, w[$j].last) + dot_bytes(row_$r.low_last, w[$j].last));
    let block_$r_$j = row_$r.terms.x * dot(vec2<f32>(both_$r_$j), w[$j].terms.xy) - dot(row_$r.terms.yz, w[$j].terms.zw);
    (*sums)[$ru * SHARE + $ju] += block_$r_$j;
    #end
    #end
}

// Sums in the order of `dots`. All lanes of the workgroup must call it.
fn products(sums: ptr<function, array<f32, VALUES>>, lane: u32) {
    let sharer = lane / TEAM % SHARERS;
    var at = lane % TEAM;
    // The first weights load while the rows are packed, the next weights while these are multiplied.
    #repeat i BLOCKS_AHEAD
    let first_$i = min(at + $iu * TEAM, BLOCKS - 1u);
    var w_$i: array<Codes, SHARE>;
    #repeat j SHARE
    w_$i[$j] = codes($ju, raw($ju, first_$i), first_$i);
    #end
    #end
    #if ROWS_ARE == PACKED_HERE
    pack_rows(lane);
    #end
    for (var turn = BLOCKS_AHEAD; turn < TURNS; turn += BLOCKS_AHEAD) {
        #repeat i BLOCKS_AHEAD
        let next_$i = min(at + (BLOCKS_AHEAD + $iu) * TEAM, BLOCKS - 1u);
        #repeat j SHARE
        let raw_$i_$j = raw($ju, next_$i);
        #end
        #end
        #repeat i BLOCKS_AHEAD
        multiply(sums, at + $iu * TEAM, w_$i, sharer);
        #end
        #repeat i BLOCKS_AHEAD
        #repeat j SHARE
        w_$i[$j] = codes($ju, raw_$i_$j, next_$i);
        #end
        #end
        at += BLOCKS_AHEAD * TEAM;
    }
    #repeat i BLOCKS_AHEAD
    multiply(sums, at + $iu * TEAM, w_$i, sharer);
    #end
}
#end
