use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass},
    kernels::operands::{matrix::Matrix, step::Phase},
    ops::matmul::matmul,
};

use super::matvec::{Types, cases_of};
use crate::{
    harness::{Case, Output, backends, compare, outputs},
    step_cases::*,
};

const F32: Types = (DType::F32, &[DType::F32]);
const F16: Types = (DType::F16, &[DType::F16]);

#[test]
pub fn cases() {
    for (spans, inner, parts, types) in [
        (&[(1, 0, 0)][..], 4, &[1][..], F32),
        (&[(3, 0, 0)], 20, &[63], F16),
        (&[(64, 0, 0)], 64, &[64], (DType::F16, &[DType::Bf16][..])),
        (&[(65, 0, 0)], 60, &[65, 1], (DType::F32, &[DType::F16, DType::Bf16])),
        (&[(31, 0, 0), (32, 5, 1)], 1000, &[129], F16),
        (&[(100, 0, 0), (33, 0, 1)], 68, &[32, 200], F16),
        (&[(65, 0, 0)], 288, &[65, 1], (DType::F32, &[DType::Q4, DType::Bf16])),
        (&[(3, 0, 0)], 1024, &[63], (DType::F32, &[DType::Q8])),
        (&[(9, 0, 0)], 96, &[63], (DType::F16, &[DType::Q4_0])),
        (&[(65, 0, 0)], 768, &[65, 5], (DType::F32, &[DType::Q4K, DType::Q6K])),
        (&[(3, 0, 0)], 256, &[63, 2], (DType::F16, &[DType::Q5K, DType::F32])),
        (&[(31, 0, 0), (32, 5, 1)], 32, &[64, 7], (DType::F32, &[DType::Q4, DType::Q8])),
    ] {
        cases_of("matmul", StepCase::rows(spans), (inner, parts), types);
    }
    // No memory follows the last row.
    cases_of("matmul", StepCase { spare: 0, ..StepCase::rows(&[(33, 0, 0)]) }, (1000, &[16]), F32);
}

fn product(case: &Case, p: &Pass, step_case: StepCase) {
    let x = step_case.by_position(case, "x", 100, -3.0..3.0);
    let w = Matrix::new(vec![case.spread("w", [70, 100], DType::F16, -0.1..0.1)]);
    p.mark("y", &matmul(recorder(p, &step_case.step(case, 10)), &x, &w));
}

/// Other tile sizes give the same bits.
#[test]
pub fn tiles() {
    let step_case = StepCase::rows(&[(75, 0, 0)]);
    for (name, backend) in backends() {
        let run = |tile: [u32; 2]| -> Output {
            let mut caps = backend.caps().clone();
            caps.tiles.matmul = tile;
            outputs("tiles", &backend, &caps, |case, p| product(case, p, step_case)).remove(0)
        };
        let usual = run([64, 64]);
        for tile in [[32, 128], [128, 32]] {
            assert!(run(tile) == usual, "{name}: {tile:?}");
        }
    }
}

/// A row's product has the same bits at any place and with any other rows in the step.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(70, 0, 1)], spare: 0 };
    const CUT: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (33, 37, 1)], spare: 70 };
    for (name, backend) in backends() {
        let run = |step_case| {
            outputs("batch invariance", &backend, backend.caps(), |case, p| product(case, p, step_case)).remove(0)
        };
        let (whole, cut): (Output, Output) = (run(WHOLE), run(CUT));
        for row in 0..33 {
            assert!(whole.row(37 + row) == cut.row(9 + row), "{name}: row {row}");
        }
        assert_eq!(compare(name, &whole, &whole), 0.0);
    }
}
