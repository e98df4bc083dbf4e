use bimetal::low_level::{compute::dtype::DType, kernels::silu_mul::silu_mul};

use crate::{harness::check, step_cases::*};

#[test]
pub fn cases() {
    for (spans, width, range, dtype) in [
        (&[(1, 0, 0)][..], 4, -4.0..4.0, DType::F32),
        (&[(3, 0, 0)], 68, -4.0..4.0, DType::F16),
        (&[(33, 0, 0)], 1000, -4.0..4.0, DType::F32),
        (&[(31, 0, 0), (1, 4, 1)], 3584, -4.0..4.0, DType::F16),
        // Far beyond the range of the exponential on both sides.
        (&[(63, 0, 0)], 256, -200.0..200.0, DType::F32),
    ] {
        check(&format!("silu_mul {width} of {range:?} to {dtype}"), |case, p| {
            let step = StepCase::rows(spans).step(case, 10);
            let x = case.spread("x", [step.capacity(), 2 * width], DType::F32, range.clone());
            p.mark("y", &silu_mul(recorder(p, &step).with_activations(dtype), &x));
        });
    }
}
