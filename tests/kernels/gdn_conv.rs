use bimetal::{
    cache::Slots,
    dtype::DType,
    kernels::gdn_conv::{Heads, gdn_conv},
    pass::Pass,
    step::Kind,
};

use super::{
    harness::{Lab, backends, check, outputs},
    traffic::*,
};

#[test]
pub fn cases() {
    for (traffic, [key, value, key_width, value_width], dtype) in [
        (PROMPTS[0], [1, 1, 4, 4], DType::F32),
        (PROMPTS[1], [2, 4, 24, 20], DType::Bf16),
        (PROMPTS[2], [1, 3, 128, 64], DType::F32),
        (PROMPTS[3], [2, 2, 16, 60], DType::F16),
        (DECODES[1], [2, 6, 128, 256], DType::F32),
        (DECODES[2], [4, 4, 128, 128], DType::Bf16),
    ] {
        let heads = Heads { key, value, key_width, value_width };
        check(
            &format!("gdn_conv {key} × {key_width}, {value} × {value_width} {dtype}"),
            convolve(traffic, heads, dtype),
        );
    }
}

fn convolve(traffic: Traffic, heads: Heads, dtype: DType) -> impl Fn(&Lab, &Pass) {
    move |lab, p| {
        let step = traffic.step(lab, 10);
        let x = traffic.by_position(lab, "x", heads.projected(), -3.0..3.0);
        let weight = lab.spread("weight", [heads.channels(), 4], dtype, -0.5..0.5);
        let ring = lab.spread("ring", [traffic.slots(), 4 * heads.channels()], DType::F32, -3.0..3.0);
        let state = lab.poisoned([1, 4], DType::F32);
        let mut slots = Slots { ring, state, heads };
        p.mark("y", &gdn_conv(p, &step, &x, &weight, &mut slots));
        p.mark("ring", &slots.ring);
    }
}

/// A row's result, and the ring behind it, are the same bits whichever tile it is in and whoever else is in the step.
#[test]
pub fn company() {
    const WHOLE: Traffic = Traffic { kind: Kind::Prompt, spans: &[(70, 0, 1)], spare: 0 };
    const FIRST: Traffic = Traffic { kind: Kind::Prompt, spans: &[(9, 0, 0), (37, 0, 1)], spare: 7 };
    let heads = Heads { key: 1, value: 2, key_width: 24, value_width: 20 };
    for (name, backend) in backends() {
        let run =
            |traffic| outputs("company", &backend, backend.caps(), convolve(traffic, heads, DType::F32)).remove(0);
        let (whole, cut) = (run(WHOLE), run(FIRST));
        for row in 0..37 {
            assert!(whole.row(row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}
