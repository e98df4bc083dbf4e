// state[to] = state[from], with pair = (from, to)
// pair [1, 2], state [slots, WIDTH]
// one group for 16 · LANES words; a lane copies every LANES-th of them
@group(0) @binding(0) var<storage, read> pair: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<f32>;

const WORDS: u32 = 16u;

@compute @workgroup_size(LANES)
fn copy_slot(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = group.x * WORDS * LANES + lane;
    for (var i = 0u; i < WORDS; i++) {
        let at = first + i * LANES;
        if at < WIDTH {
            state[pair[1] * WIDTH + at] = state[pair[0] * WIDTH + at];
        }
    }
}
