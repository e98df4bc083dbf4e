use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::operands::{matrix::Matrix, step::Phase},
    ops::matmul::matmul,
};

use super::matvec::{Types, cases_of};
use crate::{
    harness::{Case, Output, backends, outputs},
    step_cases::*,
};

const F16: Types = (DType::F16, &[DType::F16]);
const Q8: Types = (DType::F16, &[DType::Q8]);
const Q4: Types = (DType::F16, &[DType::Q4]);

/// Both tile sizes, whole tiles and tiles partly filled by rows or columns, and inner dimensions that end within a
/// slice. A device without matrix units uses `matmul`, which has its own cases.
#[test]
pub fn cases() {
    for (spans, inner, parts) in [
        (&[(1, 0, 0)][..], 32, &[16][..]),
        (&[(64, 0, 0)], 64, &[64]),
        (&[(65, 0, 0)], 100, &[63, 66]),
        (&[(100, 0, 0), (33, 0, 1)], 1000, &[130]),
        (&[(128, 0, 0)], 96, &[2176]),
        (&[(31, 0, 0), (130, 5, 1)], 36, &[2048, 2057]),
        // One row fewer than whole tiles have.
        (&[(63, 0, 0)], 64, &[128]),
    ] {
        cases_of("matmul_mma", StepCase::rows(spans), (inner, parts), F16);
    }
    for (spans, inner, parts, types) in [
        (&[(1, 0, 0)][..], 32, &[16][..], Q4),
        (&[(65, 0, 0)], 288, &[63, 66], Q4),
        (&[(128, 0, 0)], 96, &[2176], Q8),
        (&[(17, 0, 0)], 288, &[63], (DType::F16, &[DType::Q4_0])),
        (&[(65, 0, 0)], 256, &[63, 66], (DType::F16, &[DType::Q4K, DType::Q5K])),
        (&[(31, 0, 0), (66, 5, 1)], 512, &[130], (DType::F16, &[DType::Q6K])),
        (&[(31, 0, 0), (130, 5, 1)], 352, &[130], (DType::F16, &[DType::Q8])),
    ] {
        cases_of("matmul_mma", StepCase::rows(spans), (inner, parts), types);
    }
    // No memory follows the last row.
    cases_of("matmul_mma", StepCase { spare: 0, ..StepCase::rows(&[(33, 0, 0)]) }, (1000, &[16]), F16);
}

/// A row's product has the same bits at any place, with any other rows in the step, and in a whole or partial tile.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(192, 0, 1)], spare: 0 };
    const CUT: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (33, 37, 1)], spare: 70 };
    for (name, backend) in backends() {
        let run = |step_case: StepCase| -> Output {
            let op = |case: &Case, p: &Pass| {
                let x = in_f16(case, &step_case.by_position(case, "x", 100, -3.0..3.0));
                let w = Matrix::new(vec![case.spread("w", [128, 100], DType::F16, -0.1..0.1)]);
                p.mark("y", &matmul(recorder(p, &step_case.step(case, 10)), &x, &w));
            };
            outputs("batch invariance", &backend, backend.caps(), op).remove(0)
        };
        let (whole, cut) = (run(WHOLE), run(CUT));
        for row in 0..33 {
            assert!(whole.row(37 + row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}

/// The same rows in f16.
pub fn in_f16(case: &Case, x: &Tensor) -> Tensor {
    let bytes = pollster::block_on(x.read(0..u64::from(x.rows()) * u64::from(x.width()))).unwrap();
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
    case.tensor([x.rows(), x.width()], DType::F16, &values)
}
