// Packed rows: one plane has four runs of bytes for each row, the high and the low bytes of both halves of each block.
// The next plane has the terms of each block. Needs `packing`.

#if USE == CODES
alias Wide_$NAME = vec4<u32>;

// Block `at` of a row.
fn block_$NAME(row: u32, at: u32) -> Row_block {
    let high = row * 4u * $ROW_BLOCKSu + at;
    let low = high + 2u * $ROW_BLOCKSu;
    let terms = bitcast<vec4<f32>>($NAME[$SECOND_PLANE_VECTORu + row * $ROW_BLOCKSu + at]);
    return Row_block($NAME[high], $NAME[high + $ROW_BLOCKSu], $NAME[low], $NAME[low + $ROW_BLOCKSu], terms);
}
#end
#if USE == STORES
alias Quad_$NAME = vec2<u32>;

// Stores quad `at`, counted through all rows, if `stores` is true. All lanes of a subgroup must call it: eight
// neighboring lanes have a block.
fn store_$NAME(at: u32, quad: vec4<f32>, stores: bool) {
    let other = subgroupShuffleXor(quad, 1u);
    let odd = at % 2u == 1u;
    let first = select(quad, other, odd);
    let last = select(other, quad, odd);
    #if EVEN_AND_ODD
    let coded = coded(vec4(first.xz, last.xz), vec4(first.yw, last.yw), 2u);
    #else
    let coded = coded(first, last, 2u);
    #end
    if !stores {
        return;
    }
    let row = at / (8u * $ROW_BLOCKSu);
    let block = at / 8u % $ROW_BLOCKSu;
    let pair = at % 8u / 2u;
    let run = row * 4u + pair / 2u + select(0u, 2u, odd);
    $NAME[2u * (run * $ROW_BLOCKSu + block) + pair % 2u] = select(coded.high, coded.low, odd);
    if pair == 0u {
        let place = $SECOND_PLANE_VECTORu + row * $ROW_BLOCKSu + block;
        $NAME[2u * place + at % 2u] = bitcast<vec2<u32>>(select(coded.terms.xy, vec2(coded.terms.z, 0.0), odd));
    }
}
#end
