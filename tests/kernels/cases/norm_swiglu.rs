use bimetal::low_level::{
    compute::{
        dtype::{DType, Packs},
        pass::Pass,
        tensor::Tensor,
    },
    kernels::{norm_swiglu::norm_swiglu, rms_norm::Norm},
};

use super::matvec::{batch_invariance_of, operands};
use crate::{
    harness::{Case, check, check_filled, check_packed, check_rows_packed},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, inner, parts, types, dtype) in [
        (DECODES[0], 4, &[8][..], &[DType::F32][..], DType::F32),
        (DECODES[0], 1024, &[40], &[DType::Bf16], DType::F16),
        (DECODES[1], 60, &[64], &[DType::F16], DType::F32),
        // Gate and up of two types; parts that end in the middle of gate and of up.
        (DECODES[1], 1000, &[36, 36], &[DType::Bf16, DType::F16], DType::F16),
        (DECODES[2], 256, &[4, 60, 12, 20], &[DType::F16, DType::F32, DType::Bf16], DType::F32),
        (DECODES[2], 2048, &[24], &[DType::F16], DType::F16),
        (DECODES[1], 512, &[608], &[DType::Bf16], DType::F32),
        (DECODES[0], 1024, &[40], &[DType::Q4], DType::F16),
        // Gate and up with quantized and other types, and parts that end in the middle of both.
        (DECODES[2], 288, &[36, 36], &[DType::Q4, DType::Bf16], DType::F32),
        (DECODES[2], 256, &[36, 36], &[DType::Q4K, DType::Q6K], DType::F32),
        (DECODES[0], 512, &[20, 20], &[DType::Q4_0, DType::Q5K], DType::F16),
        (DECODES[1], 96, &[4, 60, 12, 20], &[DType::Q8, DType::F32, DType::Q4], DType::F16),
    ] {
        check(
            &format!("norm_swiglu {} × {inner} × {parts:?} {types:?} to {dtype}", step_case.active_rows()),
            |case, p| {
                p.mark("y", &gated(case, p, step_case, ((inner, parts), types, dtype)));
            },
        );
    }
}

/// Several rows and columns per team, of part of a subgroup or of a whole one, and teams that share the sum of squares.
#[test]
pub fn filled() {
    for (inner, rows) in [(60, 72), (1024, 40)] {
        check_filled(&format!("norm_swiglu 9 × {inner} × {rows}, filled"), |case, p| {
            p.mark("y", &gated(case, p, DECODES[2], ((inner, &[rows]), &[DType::F16], DType::F16)));
        });
    }
}

/// Packed dot products, if the types of gate and up allow them.
#[test]
pub fn packed() {
    for (step_case, inner, parts, types) in [
        (DECODES[0], 1024, &[40][..], &[DType::Q4][..]),
        (DECODES[2], 288, &[72], &[DType::Q8]),
        (DECODES[1], 96, &[4, 60, 12, 20], &[DType::Q8, DType::F32, DType::Q4]),
        (DECODES[2], 1024, &[608], &[DType::Q4]),
        // Two formats with the same packed product, and two with different ones.
        (DECODES[1], 256, &[36, 36], &[DType::Q4K, DType::Q6K]),
        (DECODES[0], 512, &[20, 20], &[DType::Q8, DType::Q5K]),
    ] {
        check_packed(
            &format!("norm_swiglu {} × {inner} × {parts:?} {types:?}", step_case.active_rows()),
            |case, p| {
                p.mark("y", &gated(case, p, step_case, ((inner, parts), types, DType::F16)));
            },
        );
    }
}

/// Rows that stay packed, in both byte orders: fewer columns than a workgroup has, and workgroups of several blocks.
#[test]
pub fn left_packed() {
    for (step_case, inner, parts, types, packs) in [
        (DECODES[0], 1024, &[64][..], &[DType::Q4][..], Packs::Nibbles),
        (DECODES[2], 288, &[128, 64], &[DType::Q8], Packs::Bytes),
        (DECODES[1], 64, &[1216], &[DType::Q4], Packs::Nibbles),
        (DECODES[2], 64, &[64], &[DType::F16], Packs::Bytes),
    ] {
        let label = format!("norm_swiglu {} × {inner} × {parts:?} {types:?} to {packs:?}", step_case.active_rows());
        check_rows_packed(&label, |case, p| {
            p.mark("y", &gated(case, p, step_case, ((inner, parts), types, DType::Packed(packs))));
        });
    }
}

type Product<'a> = ((u32, &'a [u32]), &'static [DType], DType);

fn gated(case: &Case, p: &Pass, step_case: StepCase, (shape, types, rows): Product<'_>) -> Tensor {
    let (x, w) = operands(case, step_case, shape, (DType::F32, types));
    let norm = Norm { weight: case.weight(shape.0, DType::Bf16), eps: 1e-6 };
    norm_swiglu(recorder(p, &step_case.step(case, 10)).with_activations(rows), norm.of(&x), &w)
}

#[test]
pub fn batch_invariance() {
    for (inner, rows, types) in [(1000, 72, &[DType::F16]), (64, 608, &[DType::F16]), (288, 72, &[DType::Q4])] {
        batch_invariance_of(|case, p, step_case| {
            p.mark("y", &gated(case, p, step_case, ((inner, &[rows]), types, DType::F16)));
        });
    }
}
