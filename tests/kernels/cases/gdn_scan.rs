use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass},
    kernels::{
        gdn_conv::Mixed,
        gdn_scan::gdn_scan,
        operands::{caches::Slots, heads::DeltaHeads, step::Phase},
    },
};

use crate::{
    harness::{Case, Random, backends, check, outputs},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [key, value, key_width, value_width]) in [
        (PROMPTS[0], [1, 1, 4, 4]),
        (PROMPTS[1], [2, 4, 24, 20]),
        (PROMPTS[2], [1, 2, 128, 128]),
        (PROMPTS[3], [2, 2, 64, 36]),
        (PROMPTS[1], [1, 3, 128, 64]),
    ] {
        for heads in orders([key, value, key_width, value_width]) {
            check(&format!("gdn_scan {heads:?}"), |case, p| {
                let slots = &mut slots(case, step_case, heads);
                p.mark("o", &scan(case, p, step_case, slots));
                p.mark("state", &slots.state);
            });
        }
    }
}

/// Value heads grouped by key head, and tiled if that is another order.
pub fn orders(heads @ [key, value, ..]: [u32; 4]) -> impl Iterator<Item = DeltaHeads> {
    let grouped = DeltaHeads::grouped(heads);
    [grouped].into_iter().chain((key > 1 && value > key).then(|| grouped.tiled()))
}

fn scan(case: &Case, p: &Pass, step_case: StepCase, slots: &mut Slots) -> bimetal::low_level::compute::tensor::Tensor {
    let step = step_case.step(case, 10);
    gdn_scan(recorder(p, &step), &inputs(case, step_case, slots.heads), slots)
}

/// Used states.
pub fn slots(case: &Case, step_case: StepCase, heads: DeltaHeads) -> Slots {
    let state = case.spread("state", [step_case.slots(), heads.state()], DType::F32, -1.0..1.0);
    Slots { conv_state: case.poisoned([1, 4], DType::F32), state, heads }
}

/// Inputs of the recurrent kernels in a model's ranges: normalized queries and keys, values after an activation.
pub fn inputs(case: &Case, step_case: StepCase, heads: DeltaHeads) -> Mixed {
    let (mut qkv, mut gates) = (Vec::new(), Vec::new());
    let rows = step_case.spans.iter().flat_map(|&(rows, first, slot)| (first..first + rows).map(move |at| (slot, at)));
    let dead = (0..step_case.spare).map(|at| (u32::MAX, at));
    for (slot, position) in rows.chain(dead) {
        let mut random = Random::new(&format!("token {slot} {position}"));
        let query = 1.0 / (heads.key_width as f32).sqrt();
        (0..heads.key).for_each(|_| qkv.extend(unit(&mut random, heads.key_width, query)));
        (0..heads.key).for_each(|_| qkv.extend(unit(&mut random, heads.key_width, 1.0)));
        qkv.extend((0..heads.values()).map(|_| random.within(&(-0.3..5.0))));
        // Half of the decays are slight, as in a model with a long memory.
        let decay = |i: u32| if i.is_multiple_of(2) { -20.0..-1e-4 } else { -0.05..-1e-4 };
        gates.extend((0..heads.value).map(|i| random.within(&decay(i))));
        gates.extend((0..heads.value).map(|_| random.within(&(0.0..1.0))));
    }
    let qkv = case.tensor([step_case.capacity(), heads.channels()], DType::F32, &qkv);
    Mixed { qkv, gates: case.tensor([step_case.capacity(), 2 * heads.value], DType::F32, &gates) }
}

fn unit(random: &mut Random, width: u32, length: f32) -> Vec<f32> {
    let values: Vec<f32> = (0..width).map(|_| random.within(&(-1.0..1.0))).collect();
    let scale = length / values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.into_iter().map(|value| value * scale).collect()
}

/// A prompt gives the same bits for any cut, and with any other rows in the step.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(70, 0, 1)], spare: 0 };
    const FIRST: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (37, 0, 1)], spare: 7 };
    const SECOND: StepCase = StepCase { kind: Phase::Prefill, spans: &[(33, 37, 1), (1, 4, 0)], spare: 0 };
    let heads = DeltaHeads::grouped([1, 2, 24, 20]);
    for (name, backend) in backends() {
        let whole = outputs("whole", &backend, backend.caps(), |case, p| {
            let slots = &mut slots(case, WHOLE, heads);
            p.mark("o", &scan(case, p, WHOLE, slots));
            p.mark("state", &slots.state);
        });
        let cut = outputs("cut", &backend, backend.caps(), |case, p| {
            let slots = &mut slots(case, WHOLE, heads);
            let first = scan(case, p, FIRST, slots);
            let second = scan(case, p, SECOND, slots);
            p.mark("first", &first);
            p.mark("second", &second);
            p.mark("state", &slots.state);
        });
        for row in 0..70 {
            let part = if row < 37 { cut[0].row(9 + row) } else { cut[1].row(row - 37) };
            assert!(whole[0].row(row) == part, "{name}: row {row}");
        }
        assert!(whole[1].row(1) == cut[2].row(1), "{name}: state");
    }
}
