use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{operands::matrix::Matrix, rms_norm::Norm},
    ops::matmul::norm_matmul,
};

use super::matvec::{batch_invariance_of, operands};
use crate::{
    harness::{Case, check, check_filled, check_packed},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, inner, parts, weight, types) in [
        (DECODES[0], 4, &[1][..], DType::F32, &[DType::F32][..]),
        (DECODES[0], 1024, &[63], DType::Bf16, &[DType::Bf16]),
        (DECODES[1], 60, &[65], DType::F16, &[DType::F16]),
        (DECODES[1], 1000, &[64, 3], DType::F32, &[DType::Bf16, DType::F16]),
        (DECODES[2], 256, &[1, 31, 32], DType::Bf16, &[DType::F16, DType::F32, DType::Bf16]),
        (DECODES[2], 2048, &[20], DType::F32, &[DType::F16]),
        (DECODES[1], 512, &[301], DType::Bf16, &[DType::Bf16]),
        (DECODES[0], 1024, &[63], DType::Bf16, &[DType::Q4]),
        (DECODES[2], 288, &[65, 3], DType::F32, &[DType::Q4, DType::F16]),
        (DECODES[1], 320, &[37], DType::F16, &[DType::Q8]),
        (DECODES[2], 256, &[37, 3], DType::F32, &[DType::Q4K, DType::Q6K]),
        (DECODES[0], 768, &[21, 9], DType::F32, &[DType::Q5K, DType::Q4_0]),
    ] {
        check(
            &format!("norm_matvec {} × {inner} × {parts:?} {weight} {types:?}", step_case.active_rows()),
            |case, p| {
                p.mark("y", &product(case, p, step_case, ((inner, parts), weight, types)));
            },
        );
    }
}

/// Several rows and columns per team, of part of a subgroup or of a whole one, and teams that share the sum of squares.
#[test]
pub fn filled() {
    for (inner, columns) in [(60, 37), (1024, 19)] {
        check_filled(&format!("norm_matvec 9 × {inner} × {columns}, filled"), |case, p| {
            let shape = ((inner, &[columns][..]), DType::Bf16, &[DType::F16][..]);
            p.mark("y", &product(case, p, DECODES[2], shape));
        });
    }
}

/// Packed dot products, with and without float parts after them.
#[test]
pub fn packed() {
    for (step_case, inner, parts, types) in [
        (DECODES[0], 1024, &[63][..], &[DType::Q4][..]),
        (DECODES[2], 288, &[65, 3], &[DType::Q4, DType::F16]),
        (DECODES[1], 320, &[37, 40, 9], &[DType::Q8, DType::Bf16, DType::F32]),
        (DECODES[2], 1024, &[130, 5, 20], &[DType::Q8, DType::Q4, DType::F32]),
        (DECODES[1], 512, &[37, 3, 4], &[DType::Q5K, DType::Q6K, DType::F32]),
    ] {
        check_packed(
            &format!("norm_matvec {} × {inner} × {parts:?} {types:?}", step_case.active_rows()),
            |case, p| {
                p.mark("y", &product(case, p, step_case, ((inner, parts), DType::Bf16, types)));
            },
        );
    }
}

type Product<'a> = ((u32, &'a [u32]), DType, &'static [DType]);

fn product(case: &Case, p: &Pass, step_case: StepCase, (shape, weight, types): Product<'_>) -> Tensor {
    let (x, w): (Tensor, Matrix) = operands(case, step_case, shape, (DType::F32, types));
    let norm = Norm { weight: case.weight(shape.0, weight), eps: 1e-6 };
    norm_matmul(recorder(p, &step_case.step(case, 10)), norm.of(&x), &w)
}

/// A row of zeros: only eps keeps it from becoming NaN.
#[test]
pub fn zeros() {
    check("norm_matvec of zeros", |case, p| {
        let x = case.tensor([1, 64], DType::F32, &[0.0; 64]);
        let norm = Norm { weight: case.weight(64, DType::F32), eps: 1e-6 };
        let w = Matrix::new(vec![case.spread("w", [9, 64], DType::F32, -1.0..1.0)]);
        let h = norm.of(&x);
        p.mark("y", &norm_matmul(recorder(p, &DECODES[0].step(case, 10)), h, &w));
    });
}

#[test]
pub fn batch_invariance() {
    let mixed = &[DType::Q8, DType::F16][..];
    for (inner, columns, types) in
        [(1000, &[37][..], &[DType::F16][..]), (64, &[300], &[DType::F16]), (288, &[37, 5], mixed)]
    {
        batch_invariance_of(|case, p, step_case| {
            let shape = ((inner, columns), DType::Bf16, types);
            p.mark("y", &product(case, p, step_case, shape));
        });
    }
}
