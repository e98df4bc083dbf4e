use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass},
    kernels::operands::step::Phase,
    ops::select::argmax,
};

use crate::{
    harness::{Case, Random, check},
    step_cases::*,
};

const ROWS: StepCase =
    StepCase { kind: Phase::Decode, spans: &[(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 0, 3), (1, 0, 4)], spare: 2 };

#[test]
pub fn cases() {
    for (step_case, width, limit) in [
        (DECODES[0], 1, 1),
        (DECODES[1], 63, 63),
        (DECODES[2], 1000, 990),
        // Parts that end at the limit, that have one logit, and that have none.
        (ROWS, 4097, 4097),
        (DECODES[1], 8192, 4096),
        (DECODES[2], 20_001, 12_289),
        (DECODES[0], 300_000, 299_999),
    ] {
        check(&format!("argmax {width} below {limit}"), |case, p| {
            let logits = case.spread("logits", [step_case.capacity(), width], DType::F32, -20.0..20.0);
            choose(case, p, (step_case, limit), &logits);
        });
    }
}

fn choose(
    case: &Case,
    p: &Pass,
    (step_case, limit): (StepCase, u32),
    logits: &bimetal::low_level::compute::tensor::Tensor,
) {
    let mut tokens = case.poisoned([logits.rows(), 1], DType::U32);
    argmax(recorder(p, &step_case.step(case, 10)), logits, limit, &mut tokens);
    p.mark("tokens", &tokens);
}

/// Equal logits, signed zeros, infinities and NaN, below the limit and past it.
#[test]
pub fn odd_values() {
    const WIDTH: u32 = 9000;
    check("argmax of odd values", |case, p| {
        let mut random = Random::new("logits");
        let mut rows = vec![[0.0; WIDTH as usize]; ROWS.capacity() as usize];
        // Many equal logits; the lowest id wins.
        rows[0].fill_with(|| random.within(&(-2.0..3.0)).floor());
        // Both zeros are equal, and above the negative values.
        rows[1].fill(-1.0);
        (rows[1][4700], rows[1][8800]) = (-0.0, 0.0);
        // Only −∞ before the limit.
        rows[2].fill(f32::NEG_INFINITY);
        rows[2][8990] = 3.0;
        // One NaN.
        rows[3].fill_with(|| random.within(&(-20.0..20.0)));
        rows[3][5170] = -f32::NAN;
        // NaN past the limit has no effect; +∞ is the largest, −f32::MAX is above −∞.
        rows[4].fill(f32::NEG_INFINITY);
        (rows[4][5], rows[4][8999]) = (-f32::MAX, f32::NAN);
        rows[5].fill(f32::NAN);
        let logits = case.tensor([ROWS.capacity(), WIDTH], DType::F32, rows.as_flattened());
        choose(case, p, (ROWS, 8990), &logits);
    });
}

/// Equal logits in parts that are far apart, as one lane of the merge sees them; the lower id wins.
#[test]
fn ties_of_many_parts() {
    const WIDTH: u32 = 300_000;
    check("argmax of ties", |case, p| {
        let mut row = vec![-1.0; WIDTH as usize];
        (row[5 * 4096 + 7], row[69 * 4096 + 1], row[70 * 4096]) = (2.0, 2.0, 2.0);
        let logits = case.tensor([1, WIDTH], DType::F32, &row);
        choose(case, p, (DECODES[0], WIDTH), &logits);
    });
}
