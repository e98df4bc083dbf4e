use bimetal::low_level::{
    compute::dtype::DType,
    kernels::{embed, operands::matrix::Matrix},
};

use crate::{harness::check, step_cases::*};

#[test]
pub fn cases() {
    for (step_case, parts, width, dtype) in [
        (PROMPTS[0], &[1][..], 4, DType::F32),
        (PROMPTS[1], &[63], 60, DType::F16),
        (PROMPTS[2], &[1, 998, 1], 1024, DType::Bf16),
        (PROMPTS[3], &[4000, 97], 1000, DType::F16),
        (DECODES[2], &[5, 1, 7], 68, DType::F32),
        (PROMPTS[2], &[1, 998, 1], 1024, DType::Q4),
        (PROMPTS[3], &[4000, 97], 288, DType::Q4),
        (DECODES[2], &[5, 1, 7], 96, DType::Q8),
        (PROMPTS[1], &[5, 58], 96, DType::Q4_0),
        (PROMPTS[1], &[5, 58], 256, DType::Q4K),
        (PROMPTS[1], &[63], 768, DType::Q5K),
        (PROMPTS[2], &[1, 998, 1], 768, DType::Q6K),
    ] {
        check(&format!("embed {parts:?} × {width} {dtype}"), |case, p| {
            let step = step_case.step(case, parts.iter().sum());
            let part = |&rows: &u32| case.spread(&format!("{rows} rows"), [rows, width], dtype, -0.1..0.1);
            let table = Matrix::new(parts.iter().map(part).collect());
            p.mark("x", &embed::embed(recorder(p, &step), &table));
        });
    }
}

/// An id that no part holds leaves its row untouched, also the first id past the last part.
#[test]
pub fn ids_past_the_table() {
    check("embed of ids past the table", |case, p| {
        let step = PROMPTS[1].step(case, 5);
        let part = |&rows: &u32| case.spread(&format!("{rows} rows"), [rows, 8], DType::F32, -0.1..0.1);
        let table = Matrix::new([1, 2].iter().map(part).collect());
        p.mark("x", &embed::embed(recorder(p, &step), &table));
    });
}
