use bimetal::low_level::{
    compute::dtype::DType,
    kernels::{gated_rms_norm::gated_rms_norm, operands::heads::DeltaHeads, rms_norm::Norm},
};

use crate::{harness::check, step_cases::*};

#[test]
pub fn cases() {
    for (step_case, [key, value, key_width, value_width], weight, dtype) in [
        (PROMPTS[0], [1, 2, 4, 4], DType::F32, DType::F32),
        (PROMPTS[1], [2, 4, 24, 20], DType::Bf16, DType::F16),
        (PROMPTS[2], [2, 2, 128, 128], DType::F32, DType::F32),
        (DECODES[1], [2, 6, 128, 256], DType::F16, DType::F16),
        (DECODES[2], [16, 16, 128, 128], DType::F32, DType::F16),
    ] {
        let heads = DeltaHeads::grouped([key, value, key_width, value_width]);
        check(&format!("gated_rms_norm {value} × {value_width} {weight} to {dtype}"), |case, p| {
            let step = step_case.step(case, 10);
            let o = case.spread("o", [step.capacity(), heads.values()], DType::F32, -1.0..1.0);
            let x = case.spread("x", [step.capacity(), heads.projected()], DType::F32, -6.0..6.0);
            let norm = Norm { weight: case.spread("weight", [1, value_width], weight, 0.5..1.5), eps: 1e-6 };
            p.mark("y", &gated_rms_norm(recorder(p, &step).with_activations(dtype), &o, &x, &norm, heads));
        });
    }
}

/// Rows of zeros: only eps keeps them from becoming NaN.
#[test]
pub fn zeros() {
    let heads = DeltaHeads::grouped([1, 2, 16, 12]);
    check("gated_rms_norm of zeros", |case, p| {
        let step = DECODES[1].step(case, 10);
        let o = case.spread("o", [step.capacity(), heads.values()], DType::F32, 0.0..0.0);
        let x = case.spread("x", [step.capacity(), heads.projected()], DType::F32, -6.0..6.0);
        let norm = Norm { weight: case.spread("weight", [1, heads.value_width], DType::F32, 0.5..1.5), eps: 1e-6 };
        p.mark("y", &gated_rms_norm(recorder(p, &step), &o, &x, &norm, heads));
    });
}
