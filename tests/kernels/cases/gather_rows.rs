use bimetal::low_level::{compute::dtype::DType, kernels::gather_rows};

use crate::{harness::check, step_cases::*};

#[test]
pub fn cases() {
    for (step_case, width) in
        [(PROMPTS[0], 4), (PROMPTS[1], 68), (PROMPTS[2], 1000), (PROMPTS[3], 1024), (DECODES[2], 20)]
    {
        check(&format!("gather_rows {width}"), |case, p| {
            let step = step_case.step(case, 10);
            let x = case.spread("x", [step.capacity(), width], DType::F32, -3.0..3.0);
            p.mark("y", &gather_rows::gather_rows(recorder(p, &step.outputs()), &x));
        });
    }
}
