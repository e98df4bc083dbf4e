use std::{cell::RefCell, sync::Arc};

use bimetal::{
    Backend,
    low_level::{
        compute::{
            caps::{Caps, DequantizeFirst, DeviceKind},
            cpu::Cpu,
            dtype::DType,
            pass::Pass,
        },
        kernels::{dequantize::dequantize, operands::matrix::Matrix},
        ops::matmul::{dequantized_bytes, matmul, matmul_add},
    },
};

use super::matvec::{Types, operands};
use crate::{
    harness::{Case, backends, check_dequantized, dequantizing, outputs},
    step_cases::*,
};

const GATES: Types = (DType::F16, &[DType::Q4, DType::F16]);

const FORMATS: &[DType] = &[DType::F16, DType::Q8, DType::Q4, DType::Q4_0, DType::Q4K, DType::Q5K, DType::Q6K];

/// One row, several parts in sequence, and workgroups that they do not fill.
#[test]
pub fn cases() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    for &dtype in FORMATS {
        for (parts, inner) in [(&[1][..], 256), (&[5, 9], 768), (&[36], 512)] {
            let op = |case: &Case, p: &Pass| {
                let part = |&rows: &u32| case.spread(&format!("{rows} rows"), [rows, inner], dtype, -0.1..0.1);
                let w = Matrix::new(parts.iter().map(part).collect());
                // One more row than the matrix has.
                let mut y = case.poisoned([w.rows() + 1, inner], DType::F16);
                w.parts().iter().for_each(|part| dequantize(p, part, part.first, &mut y));
                p.mark("y", &y);
            };
            let wanted = outputs("dequantize", &oracle, oracle.caps(), op).remove(0);
            for (name, backend) in backends().into_iter().filter(|(_, backend)| backend.caps().half) {
                let found = outputs("dequantize", &backend, backend.caps(), op).remove(0);
                let different = found.bits.iter().zip(&wanted.bits).position(|(found, wanted)| found != wanted);
                assert_eq!(different, None, "{dtype} {parts:?} × {inner} on {name}");
            }
        }
    }
}

/// Products with every format, next to other formats and to floats.
#[test]
pub fn products() {
    for (rows, inner, parts, types) in [
        (&[(1, 0, 0)][..], 32, &[16][..], GATES),
        (&[(65, 0, 0)], 288, &[163, 6], GATES),
        (&[(65, 0, 0)], 256, &[130, 66], (DType::F16, &[DType::Q4K, DType::Q8])),
        (&[(33, 0, 1)], 512, &[64, 2, 66, 6], (DType::F16, &[DType::Q6K, DType::F16, DType::Q5K, DType::F32])),
    ] {
        let step_case = StepCase::rows(rows);
        check_dequantized(&format!("{inner} × {parts:?} {types:?}"), |case, p| {
            let (x, w) = operands(case, step_case, (inner, parts), types);
            p.mark("y", &matmul(recorder(p, &step_case.step(case, 10)), &x, &w));
        });
    }
}

/// Dequantizing to f16 before the product or inside it gives the same bits.
#[test]
pub fn like_the_product() {
    let step_case = StepCase::rows(&[(31, 0, 0), (34, 5, 1)]);
    let alone = FORMATS.chunks(1).map(|format| (256, &[200][..], (DType::F16, format)));
    let together =
        [(288, &[163, 6][..], GATES), (512, &[70, 70, 5], (DType::F16, &[DType::Q8, DType::Q6K, DType::F16][..]))];
    for (inner, parts, types) in alone.chain(together) {
        for (name, backend) in backends().into_iter().filter(|(_, backend)| backend.caps().matrix_units.is_some()) {
            let op = |case: &Case, p: &Pass| {
                let (x, w) = operands(case, step_case, (inner, parts), types);
                let step = step_case.step(case, 10);
                let mut y = step_case.by_position(case, "y", w.rows(), -1.0..1.0);
                match parts {
                    [_] => y = matmul(recorder(p, &step), &x, &w),
                    _ => matmul_add(recorder(p, &step), &mut y, &x, &w),
                }
                p.mark("y", &y);
            };
            let [inside, before] = [backend.caps().clone(), dequantizing(backend.caps())]
                .map(|caps| outputs("both ways", &backend, &caps, op).remove(0));
            assert!(inside == before, "{types:?} {inner} × {parts:?} on {name}");
        }
    }
}

/// Kernel names of the dispatches of a product with parts of these types, 300 rows each, 64 weights wide.
fn dispatches(caps: &Caps, rows: &'static [(u32, u32, u32)], types: &'static [DType]) -> Vec<(&'static str, [u32; 2])> {
    let (backend, found): (Arc<dyn Backend>, _) = (Arc::new(Cpu::default()), RefCell::default());
    outputs("dispatches", &backend, backend.caps(), |case, own| {
        let (step_case, p) = (StepCase::rows(rows), Pass::new(caps));
        let parts = vec![300; types.len()];
        let (x, w) = operands(case, step_case, (64, &parts), (DType::F16, types));
        drop(matmul(recorder(&p, &step_case.step(case, 10)), &x, &w));
        let of = |d: &bimetal::low_level::compute::kernel::Dispatch| (d.kernel.name, [0, 1].map(|i| d.params[i]));
        *found.borrow_mut() = p.finish().dispatches.iter().map(of).collect();
        own.mark("x", &x);
    });
    found.into_inner()
}

/// Quantized weights are dequantized first for many rows, up to the device's limit. Parts between them are included if
/// matrix units support their types.
#[test]
pub fn chosen() {
    const FEW: &[(u32, u32, u32)] = &[(250, 0, 0)];
    const MANY: &[(u32, u32, u32)] = &[(251, 0, 0)];
    let mut caps = Caps::typical("wgpu", DeviceKind::Discrete);
    let names =
        |caps: &Caps, rows, types| dispatches(caps, rows, types).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    const MIXED: &[DType] = &[DType::Q4, DType::F16];
    assert_eq!(names(&caps, FEW, MIXED), ["matmul_mma"; 2]);
    assert_eq!(names(&caps, MANY, MIXED), ["dequantize", "dequantize", "matmul_mma"]);
    assert_eq!(names(&caps, MANY, &[DType::F16, DType::F16]), ["matmul_mma"; 2]);
    assert_eq!(
        names(&caps, MANY, &[DType::F16, DType::F32, DType::Q8]),
        ["matmul_mma", "matmul", "dequantize", "matmul_mma"]
    );
    let limits = |weights| Some(DequantizeFirst { weights, ..DequantizeFirst::USUAL });
    caps.tiles.dequantize_first = limits(600 * 64);
    let once = [("dequantize", [0, 300]), ("dequantize", [300, 300]), ("matmul_mma", [0, 600])];
    assert_eq!(dispatches(&caps, MANY, MIXED), once);
    let inside = [("matmul_mma", [0, 300]), ("matmul_mma", [300, 300])];
    for never in [limits(600 * 64 - 1), None] {
        caps.tiles.dequantize_first = never;
        assert_eq!(dispatches(&caps, MANY, MIXED), inside);
    }
    assert_eq!(Caps::typical("wgpu", DeviceKind::Integrated).tiles.dequantize_first, None, "memory that is shared");
    assert_eq!(names(&Caps { matrix_units: None, ..caps }, MANY, MIXED), ["matmul"; 2]);
}

/// The estimate covers the f16 weights of consecutive parts for matrix units, even if the whole matrix is too large.
#[test]
pub fn foreseen() {
    let case = Case::new(Arc::new(Cpu::default()));
    let types = (DType::F16, &[DType::Q8, DType::F32, DType::Q4, DType::F16][..]);
    let (_, w) = operands(&case, StepCase::rows(&[(1, 0, 0)]), (64, &[300, 300, 200, 50]), types);
    let limits = |weights| Some(DequantizeFirst { weights, ..DequantizeFirst::USUAL });
    let rows = DequantizeFirst::USUAL.rows;
    let found = [300, 299, 249].map(|columns| dequantized_bytes(&w, rows, limits(columns * 64)) / 128);
    assert_eq!(found, [300, 250, 0]);
    assert_eq!([dequantized_bytes(&w, rows - 1, limits(300 * 64)), dequantized_bytes(&w, rows, None)], [0, 0]);
}
