use std::{cell::Cell, sync::Arc};

use bimetal::{
    Backend,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cpu::Cpu,
            dtype::{DType, Packs},
            kernel::RowsAre,
            pass::Pass,
        },
        kernels::operands::{matrix::Matrix, step::Phase},
        ops::matmul::{matmul, matmul_add},
    },
};

use crate::{
    harness::{Case, backends, check, check_filled, check_packed, check_rows_packed, outputs},
    step_cases::*,
};

/// Types of x and of each part of the matrix.
pub type Types = (DType, &'static [DType]);

const F32: Types = (DType::F32, &[DType::F32]);
const F16: Types = (DType::F16, &[DType::F16]);
const Q8: Types = (DType::F16, &[DType::Q8]);
const Q4: Types = (DType::F32, &[DType::Q4]);

#[test]
pub fn cases() {
    for (step_case, inner, parts, types) in [
        (DECODES[0], 4, &[1][..], F32),
        (DECODES[0], 1024, &[63], F16),
        (DECODES[1], 60, &[65], F16),
        (DECODES[1], 1000, &[64, 3], (DType::F32, &[DType::Bf16, DType::F16][..])),
        (DECODES[2], 256, &[1, 31, 32], (DType::F16, &[DType::F16, DType::F32, DType::Bf16])),
        (DECODES[2], 68, &[100], (DType::F32, &[DType::Bf16])),
        (DECODES[2], 3584, &[20], F16),
        (DECODES[1], 512, &[301], (DType::F32, &[DType::Bf16])),
        (DECODES[0], 32, &[1], Q4),
        (DECODES[1], 1024, &[63], Q4),
        (DECODES[2], 288, &[65, 3], (DType::F16, &[DType::Q4, DType::Bf16])),
        (DECODES[0], 3584, &[19], Q8),
        (DECODES[2], 96, &[33, 7], (DType::F32, &[DType::Q8, DType::Q4])),
        (DECODES[0], 32, &[1], (DType::F32, &[DType::Q4_0])),
        (DECODES[1], 1120, &[35], (DType::F16, &[DType::Q4_0])),
        (DECODES[0], 256, &[1], (DType::F32, &[DType::Q4K])),
        (DECODES[2], 1024, &[33, 7], (DType::F16, &[DType::Q4K, DType::Q6K])),
        (DECODES[1], 768, &[33, 3], (DType::F32, &[DType::Q5K, DType::Bf16])),
        (DECODES[0], 256, &[5], (DType::F16, &[DType::Q6K])),
        (DECODES[1], 3584, &[19], (DType::F32, &[DType::Q6K])),
    ] {
        cases_of("matvec", step_case, (inner, parts), types);
    }
}

/// Several rows and columns per team, with a team of part of a subgroup or of a whole one.
#[test]
pub fn filled() {
    for (inner, columns, types) in [(60, 37, F16), (1024, 19, F16), (1024, 19, Q4), (320, 37, Q8)] {
        check_filled(&format!("matvec 9 × {inner} × {columns} {types:?}, filled"), |case, p| {
            let (x, w) = operands(case, DECODES[2], (inner, &[columns]), types);
            p.mark("y", &matmul(recorder(p, &DECODES[2].step(case, 10)), &x, &w));
        });
    }
}

/// Packed dot products: rows split over several lanes or not, ragged rows, and several parts.
#[test]
pub fn packed() {
    for (step_case, inner, parts, types) in [
        (DECODES[0], 32, &[1][..], Q4),
        (DECODES[0], 1024, &[63], Q8),
        (DECODES[1], 1024, &[63], Q4),
        (DECODES[2], 288, &[65, 3], (DType::F16, &[DType::Q4, DType::Bf16][..])),
        (DECODES[0], 3584, &[19], Q8),
        (DECODES[2], 96, &[33, 7], (DType::F32, &[DType::Q8, DType::Q4])),
        (DECODES[2], 3584, &[37], Q4),
        (DECODES[1], 1120, &[35], (DType::F16, &[DType::Q4_0])),
        (DECODES[2], 1024, &[33, 7], (DType::F16, &[DType::Q4K, DType::Q6K])),
        (DECODES[1], 768, &[33, 3], (DType::F32, &[DType::Q5K, DType::Bf16])),
        (DECODES[0], 256, &[5], (DType::F16, &[DType::Q6K])),
        // A row that fills most of workgroup memory, and one that does not fit.
        (DECODES[1], 12288, &[9], Q8),
        (DECODES[0], 17408, &[3], Q4),
    ] {
        check_packed(&format!("matvec {} × {inner} × {parts:?} {types:?}", step_case.active_rows()), |case, p| {
            let (x, w) = operands(case, step_case, (inner, parts), types);
            p.mark("y", &matmul(recorder(p, &step_case.step(case, 10)), &x, &w));
        });
    }
}

/// Rows already packed, in both byte orders; several parts, ragged rows of more than one round.
#[test]
pub fn taken() {
    let [bytes, nibbles] = [Packs::Bytes, Packs::Nibbles].map(DType::Packed);
    for (step_case, inner, parts, types) in [
        (DECODES[0], 32, &[1][..], (bytes, &[DType::Q8][..])),
        (DECODES[1], 1024, &[63], (nibbles, &[DType::Q4])),
        (DECODES[2], 288, &[65, 3], (bytes, &[DType::Q8])),
        (DECODES[2], 3584, &[37], (nibbles, &[DType::Q4])),
        (DECODES[0], 2048, &[33, 7], (nibbles, &[DType::Q4K, DType::Q6K])),
        // More than fits in workgroup memory.
        (DECODES[0], 17408, &[3], (nibbles, &[DType::Q4_0])),
    ] {
        let label = format!("matvec {} × {inner} × {parts:?} {types:?}", step_case.active_rows());
        let op = |case: &Case, p: &Pass| {
            let (step, (x, w)) = (step_case.step(case, 10), operands(case, step_case, (inner, parts), types));
            let mut y = step_case.by_position(case, "y", w.rows(), -1.0..1.0);
            matmul_add(recorder(p, &step), &mut y, &x, &w);
            p.mark("y", &y);
        };
        check_rows_packed(&label, op);
    }
}

/// Packed dot products are used if the device supports them, the weights support them, and a row fits in workgroup
/// memory.
/// memory.
#[test]
pub fn chosen() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let able = Caps::typical("wgpu", DeviceKind::Discrete);
    let packed = |caps: &Caps, inner: u32, types: Types| {
        let found = Cell::new(0);
        outputs("chosen", &backend, backend.caps(), |case, _| {
            let p = Pass::new(caps);
            let (x, w) = operands(case, DECODES[0], (inner, &[3]), types);
            drop(matmul(recorder(&p, &DECODES[0].step(case, 10)), &x, &w));
            found.set(p.finish().dispatches[0].define("ROWS_ARE"));
        });
        found.get() == RowsAre::PackedHere as u32
    };
    assert!(packed(&able, 1024, Q8) && packed(&able, 12288, Q4));
    assert!(!packed(&able, 17408, Q4), "more than a group's memory of 32 KiB");
    assert!(!packed(&able, 1024, F16), "floats");
    assert!(!packed(&Caps { packed_dots: false, ..able }, 1024, Q8), "a device that cannot");
}

/// Both epilogues of a product.
pub fn cases_of(kernel: &str, step_case: StepCase, (inner, parts): (u32, &[u32]), types: Types) {
    let rows = step_case.active_rows();
    check(&format!("{kernel} {rows} × {inner} × {parts:?} {types:?}"), |case, p| {
        let step = step_case.step(case, 10);
        let (x, w) = operands(case, step_case, (inner, parts), types);
        p.mark("y", &matmul(recorder(p, &step), &x, &w));
    });
    check(&format!("{kernel} {rows} × {inner} × {parts:?} {types:?} added"), |case, p| {
        let step = step_case.step(case, 10);
        let (x, w) = operands(case, step_case, (inner, parts), types);
        let mut y = step_case.by_position(case, "y", w.rows(), -1.0..1.0);
        matmul_add(recorder(p, &step), &mut y, &x, &w);
        p.mark("y", &y);
    });
}

pub fn operands(
    case: &Case,
    step_case: StepCase,
    (inner, parts): (u32, &[u32]),
    types: Types,
) -> (bimetal::low_level::compute::tensor::Tensor, Matrix) {
    let range = 1.0 / (inner as f32).sqrt();
    let part = |(&rows, &dtype): (&u32, &DType)| case.spread(&format!("{rows}"), [rows, inner], dtype, -range..range);
    let w = Matrix::new(parts.iter().zip(types.1.iter().cycle()).map(part).collect());
    (case.spread("x", [step_case.capacity(), inner], types.0, -3.0..3.0), w)
}

/// Recordings for 1, 3 and 11 rows.
pub const COMPANY: [StepCase; 3] = [
    StepCase { kind: Phase::Decode, spans: &[(1, 0, 0)], spare: 0 },
    StepCase { kind: Phase::Decode, spans: &[(1, 0, 0), (1, 4, 1)], spare: 1 },
    StepCase { kind: Phase::Decode, spans: &[(1, 0, 0), (1, 4, 1), (1, 5, 2), (1, 9, 3), (1, 7, 4)], spare: 6 },
];

/// A row's result has the same bits in a recording for one row and in larger ones, as floats and as packed bytes. The
/// number of rows per read of the weights, and of columns per read of the row, has no effect.
pub fn batch_invariance_of(op: impl Fn(&Case, &Pass, StepCase)) {
    for (name, backend) in backends() {
        let both = [false, true].into_iter().flat_map(|bytes| [1, 8, 16].map(|max_rows| (bytes, max_rows)));
        for (bytes, max_rows, saturating) in
            both.flat_map(|(bytes, max_rows)| [1, 1 << 16].map(|saturating| (bytes, max_rows, saturating)))
        {
            let usual = if bytes { crate::harness::packed(backend.caps()) } else { backend.caps().clone() };
            let mut caps = usual.clone();
            (caps.tiles.matvec.rows, caps.tiles.matvec.saturating_lanes) = (max_rows, saturating);
            let run = |&step_case: &StepCase| {
                outputs("batch invariance", &backend, &caps, |case, p| op(case, p, step_case)).remove(0)
            };
            let rows: Vec<_> = COMPANY.iter().map(run).collect();
            assert!(rows.iter().all(|y| y.row(0) == rows[0].row(0)), "{name}: {max_rows} rows, {saturating} lanes");
            assert!(rows[1].row(1) == rows[2].row(1), "{name}: {max_rows} rows, {saturating} lanes");
            let wanted = outputs("batch invariance", &backend, &usual, |case, p| op(case, p, COMPANY[2])).remove(0);
            assert!(
                (0..5).all(|row| rows[2].row(row) == wanted.row(row)),
                "{name}: {max_rows} rows, {saturating} lanes"
            );
        }
    }
}

/// The same for rows already packed, on one device.
#[test]
pub fn company_taken() {
    let [bytes, nibbles] = [Packs::Bytes, Packs::Nibbles].map(DType::Packed);
    for (inner, columns, types) in [(288, 37, (bytes, &[DType::Q8][..])), (64, 300, (nibbles, &[DType::Q4]))] {
        for (name, backend) in backends() {
            let caps = crate::harness::packed(backend.caps());
            let run = |(step_case, max_rows): (StepCase, u32)| {
                let mut caps = caps.clone();
                caps.tiles.matvec.rows = max_rows;
                let op = |case: &Case, p: &Pass| {
                    let (x, w) = operands(case, step_case, (inner, &[columns]), types);
                    p.mark("y", &matmul(recorder(p, &step_case.step(case, 10)), &x, &w));
                };
                outputs("batch invariance", &backend, &caps, op).remove(0)
            };
            let all = [1, 8].into_iter().flat_map(|max_rows| COMPANY.map(|step_case| (step_case, max_rows)));
            let rows: Vec<_> = all.filter(|_| caps.packed_dots).map(run).collect();
            assert!(rows.iter().all(|y| y.row(0) == rows[0].row(0)), "{name}");
            assert!(rows.iter().skip(1).step_by(3).all(|y| y.row(1) == rows[2].row(1)), "{name}");
        }
    }
}

#[test]
pub fn batch_invariance() {
    for (inner, columns, types) in [(1000, 37, F16), (64, 300, F16), (288, 37, Q8), (64, 300, Q4)] {
        batch_invariance_of(|case, p, step_case| {
            let (x, w) = operands(case, step_case, (inner, &[columns]), types);
            p.mark("y", &matmul(recorder(p, &step_case.step(case, 10)), &x, &w));
        });
    }
}
