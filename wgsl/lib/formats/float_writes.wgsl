// How f32 and f16 are stored by kernels whose other types need more than a quad.
#if STORES_QUADS

// Stores quad `at` if `stores` is true. Lanes need not agree.
fn store_$NAME(at: u32, quad: vec4<f32>, stores: bool) {
    if stores {
        $NAME[at] = pack_$NAME(quad);
    }
}
#end
#if KEEPS

// Stores quad `at` of a head. Floats have no scale.
fn keep_$NAME(at: u32, quad: vec4<f32>, scale: u32) {
    $NAME[at] = pack_$NAME(quad);
}
#end
