// `products` of quantised weights where bytes are multiplied four at a time: the group turns its rows into numbers of 16
// bits that share a scale for each 32, in two bytes each, and TEAM lanes stride over blocks of 32.
// Needs what `dots` needs, with pieces of two quads, and `codes(j, at)`: block `at` of column j.
// Where NIBBLES is 1, even and odd elements of each eight are apart, as `codes` has them.
#repeat n PACKED

const BLOCKS: u32 = K / 32u;
const TURNS: u32 = (BLOCKS + TEAM - 1u) / TEAM;
const ITEMS: u32 = ROWS * 4u * BLOCKS;
const RAGGED_BLOCKS: bool = BLOCKS % (BLOCKS_AHEAD * TEAM) != 0u;
// An element is a number from −32512 to 32512, and that is 256 · a high byte + a low byte, both signed.
const MOST: f32 = 32512.0;

// [row][high, high, low, low bytes of 16 elements][block]
var<workgroup> row_codes: array<vec4<u32>, ITEMS>;
// [row][block]: scale, sums of the first and the last 16 elements, sum of squares before the norm's gain
var<workgroup> row_terms: array<vec4<f32>, ROWS * BLOCKS>;

// Four lanes turn a block of one row into codes. All lanes stay together, what is past the last row's end repeats it.
fn pack_rows(lane: u32) {
    for (var start = 0u; start < ITEMS; start += LANES) {
        let item = min(start + lane, ITEMS - 4u + lane % 4u);
        let row = item / (4u * BLOCKS);
        let at = item % (4u * BLOCKS);
        let block = at / 4u;
        let quarter = at % 4u;
        var piece = input(row, at);
        var squares = dot_piece(piece, piece, 0.0);
        #repeat m NORM
        piece = scaled(piece, gain(at));
        #end
        // As bits, among which NaN is the largest.
        let sizes = max(bitcast<vec4<u32>>(piece[0]) & vec4(0x7fffffffu), bitcast<vec4<u32>>(piece[1]) & vec4(0x7fffffffu));
        var size = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
        size = max(size, subgroupShuffleXor(size, 1u));
        size = max(size, subgroupShuffleXor(size, 2u));
        squares += subgroupShuffleXor(squares, 1u);
        squares += subgroupShuffleXor(squares, 2u);
        // What is smaller than 2⁻¹⁰⁰ becomes zero.
        let largest = select(bitcast<f32>(size), 0.0, size < 0x0d800000u);
        let inverse = select(MOST / largest, 0.0, size < 0x0d800000u);
        let first = vec4<i32>(round(piece[0] * inverse));
        let last = vec4<i32>(round(piece[1] * inverse));
        var sum = dot(first, vec4(1)) + dot(last, vec4(1));
        sum += subgroupShuffleXor(sum, 1u);
        let other = subgroupShuffleXor(sum, 2u);
        if quarter == 0u {
            let scale = largest / MOST;
            row_terms[row * BLOCKS + block] = vec4(scale, scale * f32(sum), scale * f32(other), squares);
        }
        var a = first;
        var b = last;
        if NIBBLES == 1u {
            a = vec4(first.xz, last.xz);
            b = vec4(first.yw, last.yw);
        }
        let high = (row * 4u + quarter / 2u) * BLOCKS + block;
        let low = high + 2u * BLOCKS;
        let word = quarter % 2u * 2u;
        row_codes[high][word] = pack4xI8((a + 128) >> vec4(8u));
        row_codes[high][word + 1u] = pack4xI8((b + 128) >> vec4(8u));
        row_codes[low][word] = pack4xI8(a);
        row_codes[low][word + 1u] = pack4xI8(b);
    }
}

fn dot_bytes(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

// Sums as `dots` has them. All lanes of the group must call it.
fn products(sums: ptr<function, array<f32, VALUES>>, lane: u32) {
    let member = lane % TEAM;
    let sharer = lane / TEAM % SHARERS;
    // The first weights are on their way while the rows are packed.
    #repeat i BLOCKS_AHEAD
    #repeat j SHARE
    var w_$i_$j = codes($ju, min($iu * TEAM + member, BLOCKS - 1u));
    #end
    #end
    pack_rows(lane);
    workgroupBarrier();
    for (var turn = 0u; turn < TURNS; turn += BLOCKS_AHEAD) {
        #repeat i BLOCKS_AHEAD
        let at_$i = (turn + $iu) * TEAM + member;
        if !RAGGED_BLOCKS || at_$i < BLOCKS {
            #repeat r ROWS
            let high_$r = row_codes[$ru * 4u * BLOCKS + at_$i];
            let high_last_$r = row_codes[($ru * 4u + 1u) * BLOCKS + at_$i];
            let low_$r = row_codes[($ru * 4u + 2u) * BLOCKS + at_$i];
            let low_last_$r = row_codes[($ru * 4u + 3u) * BLOCKS + at_$i];
            let terms_$r = row_terms[$ru * BLOCKS + at_$i];
            #repeat m NORM
            if $ru % SHARERS == sharer {
                (*sums)[ROWS * SHARE + $ru / SHARERS] += terms_$r.w;
            }
            #end
            #repeat j SHARE
            let both_$r_$j = vec2(
                256 * dot_bytes(high_$r, w_$i_$j.first) + dot_bytes(low_$r, w_$i_$j.first),
                256 * dot_bytes(high_last_$r, w_$i_$j.last) + dot_bytes(low_last_$r, w_$i_$j.last));
            let block_$r_$j = terms_$r.x * dot(vec2<f32>(both_$r_$j), w_$i_$j.terms.xy) - dot(terms_$r.yz, w_$i_$j.terms.zw);
            (*sums)[$ru * SHARE + $ju] += block_$r_$j;
            #end
            #end
        }
        #end
        if turn + BLOCKS_AHEAD < TURNS {
            #repeat i BLOCKS_AHEAD
            #repeat j SHARE
            w_$i_$j = codes($ju, min((turn + BLOCKS_AHEAD + $iu) * TEAM + member, BLOCKS - 1u));
            #end
            #end
        }
    }
}
#end
