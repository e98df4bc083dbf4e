use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{
        gdn_conv::gdn_conv,
        operands::{caches::Slots, heads::DeltaHeads, step::Phase},
    },
};

use crate::{
    harness::{Case, Random, backends, check, outputs},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [key, value, key_width, value_width], dtype) in [
        (PROMPTS[0], [1, 1, 4, 4], DType::F32),
        (PROMPTS[1], [2, 4, 24, 20], DType::Bf16),
        (PROMPTS[2], [1, 3, 128, 64], DType::F32),
        (PROMPTS[3], [2, 2, 16, 60], DType::F16),
        (PROMPTS[1], [1, 2, 8, 4], DType::F32),
        (DECODES[1], [2, 6, 128, 256], DType::F32),
        (DECODES[2], [4, 4, 128, 128], DType::Bf16),
    ] {
        let heads = DeltaHeads::grouped([key, value, key_width, value_width]);
        check(
            &format!("gdn_conv {key} × {key_width}, {value} × {value_width} {dtype}"),
            convolve(step_case, heads, dtype),
        );
    }
}

fn convolve(step_case: StepCase, heads: DeltaHeads, dtype: DType) -> impl Fn(&Case, &Pass) {
    move |case, p| {
        let step = step_case.step(case, 10);
        let x = step_case.by_position(case, "x", heads.projected(), -3.0..3.0);
        let weight = case.spread("weight", [heads.channels(), 4], dtype, -0.5..0.5);
        let conv_state = case.spread("conv_state", [step_case.slots(), 4 * heads.channels()], DType::F32, -3.0..3.0);
        let state = case.poisoned([1, 4], DType::F32);
        let mut slots = Slots { conv_state, state, heads };
        let mixed = gdn_conv(recorder(p, &step), &x, &weight, &a_dt(case, heads.value), &mut slots);
        p.mark("y", &mixed.qkv);
        p.mark("gates", &mixed.gates);
        p.mark("conv_state", &slots.conv_state);
    }
}

/// a_log and dt_bias in the ranges of a model.
pub fn a_dt(case: &Case, value: u32) -> Tensor {
    let mut random = Random::new("a_dt");
    let a_log = (0..value).map(|_| random.within(&(-6.0..2.7))).collect::<Vec<_>>();
    let dt_bias = (0..value).map(|_| random.within(&(-4.0..1.0))).collect::<Vec<_>>();
    case.tensor([2, value], DType::F32, &[a_log, dt_bias].concat())
}

/// Gates where ln(1 + exp) is flat, and where it is linear.
#[test]
fn steep_gates() {
    let heads = DeltaHeads::grouped([1, 33, 8, 4]);
    for range in [-100.0..-6.0, 20.0..120.0] {
        check(&format!("gdn_conv with gates of {range:?}"), |case, p| {
            let step = PROMPTS[2].step(case, 10);
            let x = case.spread("x", [step.capacity(), heads.projected()], DType::F32, range.clone());
            let weight = case.spread("weight", [heads.channels(), 4], DType::F32, -0.5..0.5);
            let conv_state = case.poisoned([PROMPTS[2].slots(), 4 * heads.channels()], DType::F32);
            let mut slots = Slots { conv_state, state: case.poisoned([1, 4], DType::F32), heads };
            p.mark("gates", &gdn_conv(recorder(p, &step), &x, &weight, &a_dt(case, heads.value), &mut slots).gates);
        });
    }
}

/// A row's result and the new conv state have the same bits in any tile and with any other rows in the step.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(70, 0, 1)], spare: 0 };
    const FIRST: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (37, 0, 1)], spare: 7 };
    let heads = DeltaHeads::grouped([1, 2, 24, 20]);
    for (name, backend) in backends() {
        let run =
            |step_case| outputs("batch invariance", &backend, backend.caps(), convolve(step_case, heads, DType::F32));
        let (whole, cut) = (run(WHOLE), run(FIRST));
        for row in 0..37 {
            assert!(whole[0].row(row) == cut[0].row(9 + row), "{name}: row {row}");
            assert!(whole[1].row(row) == cut[1].row(9 + row), "{name}: gates of row {row}");
        }
    }
}
