use bimetal::low_level::{
    compute::{
        dtype::{DType, Packs},
        pass::Pass,
        tensor::Tensor,
    },
    kernels::{
        gated_rms_norm::gated_rms_norm,
        gdn_conv::gdn_conv,
        gdn_decode::{Recurrence, gdn_decode},
        gdn_scan::gdn_scan,
        operands::{caches::Slots, heads::DeltaHeads, step::Phase},
        rms_norm::Norm,
    },
};

use super::{gdn_conv::a_dt, gdn_scan::orders};
use crate::{
    harness::{Case, backends, check, check_rows_packed, compare, outputs},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [key, value, key_width, value_width], weight, dtype) in [
        (DECODES[0], [1, 1, 4, 4], DType::F32, DType::F32),
        (DECODES[1], [2, 4, 24, 20], DType::Bf16, DType::F16),
        (DECODES[2], [1, 2, 128, 128], DType::F32, DType::F32),
        (DECODES[2], [2, 2, 64, 36], DType::F16, DType::F16),
        (DECODES[1], [1, 3, 20, 64], DType::Bf16, DType::F32),
        (DECODES[1], [1, 2, 256, 256], DType::F32, DType::F16),
        (DECODES[2], [2, 6, 100, 60], DType::F32, DType::F32),
    ] {
        for heads in orders([key, value, key_width, value_width]) {
            check(&format!("gdn_decode {heads:?} {weight} to {dtype}"), |case, p| {
                decode(case, p, step_case, (heads, weight, dtype));
            });
        }
    }
}

/// Rows that stay packed for a product, in both byte orders.
#[test]
pub fn left_packed() {
    for (step_case, [key, value, key_width, value_width], packs) in [
        (DECODES[2], [1, 2, 128, 128], Packs::Nibbles),
        (DECODES[1], [1, 3, 20, 64], Packs::Bytes),
        (DECODES[0], [2, 2, 32, 32], Packs::Nibbles),
    ] {
        let heads = DeltaHeads::grouped([key, value, key_width, value_width]);
        check_rows_packed(&format!("gdn_decode {heads:?} to {packs:?}"), |case, p| {
            decode(case, p, step_case, (heads, DType::F32, DType::Packed(packs)));
        });
    }
}

/// Slots with used states.
fn slots(case: &Case, step_case: StepCase, heads: DeltaHeads) -> Slots {
    let conv_state = case.spread("conv_state", [step_case.slots(), 4 * heads.channels()], DType::F32, -3.0..3.0);
    let state = case.spread("state", [step_case.slots(), heads.state()], DType::F32, -1.0..1.0);
    Slots { conv_state, state, heads }
}

fn weights(case: &Case, heads: DeltaHeads, dtype: DType) -> Recurrence {
    Recurrence {
        conv: case.spread("conv", [heads.channels(), 4], dtype, -0.5..0.5),
        a_dt: a_dt(case, heads.value),
        norm: Norm { weight: case.spread("norm", [1, heads.value_width], dtype, 0.5..1.5), eps: 1e-6 },
    }
}

fn decode(case: &Case, p: &Pass, step_case: StepCase, (heads, weight, dtype): (DeltaHeads, DType, DType)) {
    let (step, mut slots) = (step_case.step(case, 10), slots(case, step_case, heads));
    let x = step_case.by_position(case, "x", heads.projected(), -3.0..3.0);
    p.mark("o", &gdn_decode(recorder(p, &step).with_activations(dtype), &x, &weights(case, heads, weight), &mut slots));
    p.mark("conv_state", &slots.conv_state);
    p.mark("state", &slots.state);
}

/// At a sequence's start, the old contents of its slot have no effect.
#[test]
pub fn beginnings() {
    let heads = DeltaHeads::grouped([1, 2, 16, 12]);
    check("gdn_decode in slots of NaN", |case, p| {
        let step_case = DECODES[0];
        let conv_state = case.poisoned([step_case.slots(), 4 * heads.channels()], DType::F32);
        let state = case.poisoned([step_case.slots(), heads.state()], DType::F32);
        let (step, mut slots) = (step_case.step(case, 10), Slots { conv_state, state, heads });
        let x = step_case.by_position(case, "x", heads.projected(), -3.0..3.0);
        let w = weights(case, heads, DType::F32);
        p.mark("o", &gdn_decode(recorder(p, &step), &x, &w, &mut slots));
        p.mark("conv_state", &slots.conv_state);
        p.mark("state", &slots.state);
    });
}

/// Token after token, it computes the same as the prefill kernels do for all tokens at once.
#[test]
pub fn like_the_prompt() {
    const TOKENS: u32 = 6;
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(TOKENS, 0, 1)], spare: 0 };
    const SINGLE: [StepCase; TOKENS as usize] = {
        const fn at(spans: &'static [(u32, u32, u32)]) -> StepCase {
            StepCase { kind: Phase::Decode, spans, spare: 0 }
        }
        [at(&[(1, 0, 1)]), at(&[(1, 1, 1)]), at(&[(1, 2, 1)]), at(&[(1, 3, 1)]), at(&[(1, 4, 1)]), at(&[(1, 5, 1)])]
    };
    let heads = DeltaHeads::grouped([1, 2, 24, 20]);
    for (name, backend) in backends() {
        let whole = outputs("whole", &backend, backend.caps(), |case, p| {
            let (step, slots) = (WHOLE.step(case, 10), &mut slots(case, WHOLE, heads));
            let x = WHOLE.by_position(case, "x", heads.projected(), -3.0..3.0);
            let w = weights(case, heads, DType::F32);
            let mixed = gdn_conv(recorder(p, &step), &x, &w.conv, &w.a_dt, slots);
            let o = gdn_scan(recorder(p, &step), &mixed, slots);
            p.mark("o", &gated_rms_norm(recorder(p, &step), &o, &x, &w.norm, heads));
            p.mark("state", &slots.state);
        });
        let single = outputs("single", &backend, backend.caps(), |case, p| {
            let (w, slots) = (weights(case, heads, DType::F32), &mut slots(case, WHOLE, heads));
            let mut last: Option<Tensor> = None;
            for step_case in SINGLE {
                let x = step_case.by_position(case, "x", heads.projected(), -3.0..3.0);
                last = Some(gdn_decode(recorder(p, &step_case.step(case, 10)), &x, &w, slots));
            }
            p.mark("o", &last.unwrap());
            p.mark("state", &slots.state);
        });
        let error = compare(name, &whole[1], &single[1]);
        println!("{name}: states of a prompt and of its tokens differ by {error:.1e}");
        let mut last = single[0].clone();
        last.bits.splice(..0, whole[0].bits[..whole[0].bits.len() - last.bits.len()].iter().copied());
        last.shape = whole[0].shape;
        compare(name, &whole[0], &last);
    }
}

/// A sequence's result has the same bits, independent of other sequences in the step.
#[test]
pub fn batch_invariance() {
    const TOGETHER: StepCase = StepCase { kind: Phase::Decode, spans: &[(1, 97, 1), (1, 0, 0), (1, 2, 2)], spare: 2 };
    const ALONE: StepCase = StepCase { kind: Phase::Decode, spans: &[(1, 97, 1)], spare: 0 };
    let heads = DeltaHeads::grouped([2, 4, 24, 20]);
    for (name, backend) in backends() {
        let run = |step_case| {
            outputs("batch invariance", &backend, backend.caps(), |case, p| {
                decode(case, p, step_case, (heads, DType::F32, DType::F32));
            })
        };
        let (together, alone) = (run(TOGETHER), run(ALONE));
        assert!(together[0].row(0) == alone[0].row(0), "{name}: o");
        assert!(together[2].row(1) == alone[2].row(1), "{name}: state");
    }
}

/// Fewer lanes than the device has give the same within round-off, as on smaller devices; also fewer lanes than a
/// subgroup.
#[test]
pub fn few_lanes() {
    for (key_width, value_width, lanes) in [(128, 128, 128), (24, 12, 16)] {
        let heads = DeltaHeads::grouped([1, 2, key_width, value_width]);
        let op = |case: &Case, p: &Pass| decode(case, p, DECODES[1], (heads, DType::F32, DType::F32));
        for (name, backend) in backends() {
            let run = |lanes| {
                let mut caps = backend.caps().clone();
                caps.lanes = caps.lanes.min(lanes);
                outputs("few lanes", &backend, &caps, op)
            };
            for (few, many) in run(lanes).iter().zip(&run(1024)) {
                compare(&format!("{name} with {lanes} lanes"), many, few);
            }
        }
    }
}
