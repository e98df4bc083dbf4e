// keys[place(r)] = k[r], values[place(r)] = v[r], with place(r) = table[position / BLOCK] · BLOCK + position mod BLOCK
// tables [slots, MAX_BLOCKS], k [T, KV_WIDTH], x [T, STRIDE] with v in its last columns, keys, values [blocks·BLOCK, KV_WIDTH]
// one group a row; a lane copies every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> k: array<Quad_k>;
@group(0) @binding(3) var<storage, read> x: array<Quad_x>;
@group(0) @binding(4) var<storage, read_write> keys: array<Quad_keys>;
@group(0) @binding(5) var<storage, read_write> values: array<Quad_values>;

const QUADS: u32 = KV_WIDTH / 4u;

@compute @workgroup_size(LANES)
fn kv_write(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= live() {
        return;
    }
    let to = place(span_of(row).slot, position_of(row)) * QUADS;
    let first = (row + 1u) * (STRIDE / 4u) - QUADS;
    for (var i = lane; i < QUADS; i += LANES) {
        keys[to + i] = pack_keys(unpack_k(k[row * QUADS + i]));
        values[to + i] = pack_values(unpack_x(x[first + i]));
    }
}
