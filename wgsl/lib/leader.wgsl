// The largest key of the lanes of a workgroup.

const NONE: u32 = 0xffffffffu;

var<workgroup> leader_keys: array<u32, LANES>;
var<workgroup> leader_ids: array<u32, LANES>;

// The largest key of all lanes with its id, in lane 0. Of equal keys the lowest id wins. All lanes of the workgroup
// must call it.
fn leader(key: u32, id: u32, lane: u32) -> vec2<u32> {
    leader_keys[lane] = key;
    leader_ids[lane] = id;
    workgroupBarrier();
    for (var lanes = LANES; lanes > 1u;) {
        let half = (lanes + 1u) / 2u;
        if lane < lanes - half {
            let other = leader_keys[lane + half];
            let other_id = leader_ids[lane + half];
            if other > leader_keys[lane] || (other == leader_keys[lane] && other_id < leader_ids[lane]) {
                leader_keys[lane] = other;
                leader_ids[lane] = other_id;
            }
        }
        workgroupBarrier();
        lanes = half;
    }
    return vec2(leader_keys[0], leader_ids[0]);
}
