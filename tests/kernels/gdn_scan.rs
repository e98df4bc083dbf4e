use bimetal::{
    cache::Slots,
    dtype::DType,
    kernels::{
        gdn_conv::{Heads, Mixed},
        gdn_scan::gdn_scan,
    },
    pass::Pass,
    step::Phase,
};

use super::{
    harness::{Lab, Random, backends, check, outputs},
    traffic::*,
};

#[test]
pub fn cases() {
    for (traffic, [key, value, key_width, value_width]) in [
        (PROMPTS[0], [1, 1, 4, 4]),
        (PROMPTS[1], [2, 4, 24, 20]),
        (PROMPTS[2], [1, 2, 128, 128]),
        (PROMPTS[3], [2, 2, 64, 36]),
        (PROMPTS[1], [1, 3, 128, 64]),
    ] {
        for heads in orders([key, value, key_width, value_width]) {
            check(&format!("gdn_scan {heads:?}"), |lab, p| {
                let slots = &mut slots(lab, traffic, heads);
                p.mark("o", &scan(lab, p, traffic, slots));
                p.mark("state", &slots.state);
            });
        }
    }
}

/// Value heads grouped by key head, and tiled where that is another order.
pub fn orders(heads @ [key, value, ..]: [u32; 4]) -> impl Iterator<Item = Heads> {
    let grouped = Heads::grouped(heads);
    [grouped].into_iter().chain((key > 1 && value > key).then(|| grouped.tiled()))
}

fn scan(lab: &Lab, p: &Pass, traffic: Traffic, slots: &mut Slots) -> bimetal::tensor::Tensor {
    let step = traffic.step(lab, 10);
    gdn_scan(p, &step, &inputs(lab, traffic, slots.heads), slots)
}

/// States in which something has happened already.
pub fn slots(lab: &Lab, traffic: Traffic, heads: Heads) -> Slots {
    let state = lab.spread("state", [traffic.slots(), heads.state()], DType::F32, -1.0..1.0);
    Slots { ring: lab.poisoned([1, 4], DType::F32), state, heads }
}

/// What the recurrent kernels take, in the ranges of a model: queries and keys normalised, values past an activation.
pub fn inputs(lab: &Lab, traffic: Traffic, heads: Heads) -> Mixed {
    let (mut qkv, mut gates) = (Vec::new(), Vec::new());
    let rows = traffic.spans.iter().flat_map(|&(rows, first, slot)| (first..first + rows).map(move |at| (slot, at)));
    let dead = (0..traffic.spare).map(|at| (u32::MAX, at));
    for (slot, position) in rows.chain(dead) {
        let mut random = Random::new(&format!("token {slot} {position}"));
        let query = 1.0 / (heads.key_width as f32).sqrt();
        (0..heads.key).for_each(|_| qkv.extend(unit(&mut random, heads.key_width, query)));
        (0..heads.key).for_each(|_| qkv.extend(unit(&mut random, heads.key_width, 1.0)));
        qkv.extend((0..heads.values()).map(|_| random.within(&(-0.3..5.0))));
        // Half of the decays are slight, as in a model that remembers.
        let decay = |i: u32| if i.is_multiple_of(2) { -20.0..-1e-4 } else { -0.05..-1e-4 };
        gates.extend((0..heads.value).map(|i| random.within(&decay(i))));
        gates.extend((0..heads.value).map(|_| random.within(&(0.0..1.0))));
    }
    let qkv = lab.tensor([traffic.capacity(), heads.channels()], DType::F32, &qkv);
    Mixed { qkv, gates: lab.tensor([traffic.capacity(), 2 * heads.value], DType::F32, &gates) }
}

fn unit(random: &mut Random, width: u32, length: f32) -> Vec<f32> {
    let values: Vec<f32> = (0..width).map(|_| random.within(&(-1.0..1.0))).collect();
    let scale = length / values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.into_iter().map(|value| value * scale).collect()
}

/// A prompt leaves the same bits however it is cut, and whoever else is in the step.
#[test]
pub fn company() {
    const WHOLE: Traffic = Traffic { kind: Phase::Prefill, spans: &[(70, 0, 1)], spare: 0 };
    const FIRST: Traffic = Traffic { kind: Phase::Prefill, spans: &[(9, 0, 0), (37, 0, 1)], spare: 7 };
    const SECOND: Traffic = Traffic { kind: Phase::Prefill, spans: &[(33, 37, 1), (1, 4, 0)], spare: 0 };
    let heads = Heads::grouped([1, 2, 24, 20]);
    for (name, backend) in backends() {
        let whole = outputs("whole", &backend, backend.caps(), |lab, p| {
            let slots = &mut slots(lab, WHOLE, heads);
            p.mark("o", &scan(lab, p, WHOLE, slots));
            p.mark("state", &slots.state);
        });
        let cut = outputs("cut", &backend, backend.caps(), |lab, p| {
            let slots = &mut slots(lab, WHOLE, heads);
            let first = scan(lab, p, FIRST, slots);
            let second = scan(lab, p, SECOND, slots);
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
