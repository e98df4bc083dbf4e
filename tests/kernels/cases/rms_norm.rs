use bimetal::low_level::{
    compute::dtype::DType,
    kernels::rms_norm::{Norm, rms_norm},
};

use crate::{harness::check, step_cases::*};

#[test]
pub fn cases() {
    for (spans, width, weight, dtype) in [
        (&[(1, 0, 0)][..], 4, DType::F32, DType::F32),
        (&[(3, 0, 0)], 20, DType::Bf16, DType::F16),
        (&[(31, 0, 0)], 256, DType::F16, DType::F32),
        (&[(33, 0, 0)], 1000, DType::F32, DType::F16),
        (&[(64, 0, 0), (1, 3, 1)], 1024, DType::Bf16, DType::F32),
        (&[(3, 2, 1)], 5120, DType::F32, DType::F32),
    ] {
        check(&format!("rms_norm {width} {weight} to {dtype}"), |case, p| {
            let step = StepCase::rows(spans).step(case, 10);
            let x = case.spread("x", [step.capacity(), width], DType::F32, -5.0..5.0);
            let norm = Norm { weight: case.weight(width, weight), eps: 1e-6 };
            p.mark("y", &rms_norm(recorder(p, &step).with_activations(dtype), &x, &norm));
        });
    }
}

/// A row of zeros: only eps keeps it from becoming NaN.
#[test]
pub fn zeros() {
    check("rms_norm of zeros", |case, p| {
        let step = PROMPTS[0].step(case, 10);
        let x = case.tensor([1, 64], DType::F32, &[0.0; 64]);
        let norm = Norm { weight: case.weight(64, DType::F32), eps: 1e-6 };
        p.mark("y", &rms_norm(recorder(p, &step), &x, &norm));
    });
}
