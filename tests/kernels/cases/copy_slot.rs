use bimetal::low_level::{compute::dtype::DType, kernels::copy_slot};

use crate::harness::check;

#[test]
pub fn cases() {
    for (slots, pair, width) in
        [(2, [0, 1], 1), (5, [4, 0], 63), (3, [0, 2], 1000), (3, [1, 0], 1024), (4, [2, 3], 4097)]
    {
        check(&format!("copy_slot {pair:?} of {width}"), |case, p| {
            let mut state = case.spread("state", [slots, width], DType::F32, -1.0..1.0);
            copy_slot::copy_slot(p, &case.words([1, 2], &pair), &mut state);
            p.mark("state", &state);
        });
    }
}
