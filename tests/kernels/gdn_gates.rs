use bimetal::{
    dtype::DType,
    kernels::{gdn_conv::Heads, gdn_gates::gdn_gates},
    tensor::Tensor,
};

use super::{
    harness::{Lab, Random, check},
    traffic::*,
};

#[test]
pub fn cases() {
    for (traffic, value, range) in [
        (PROMPTS[0], 1, -4.0..4.0),
        (PROMPTS[1], 3, -4.0..4.0),
        (PROMPTS[2], 16, -4.0..4.0),
        (DECODES[1], 48, -4.0..4.0),
        // Where ln(1 + exp) is flat, and where it is straight.
        (DECODES[2], 33, -100.0..-6.0),
        (DECODES[2], 32, 20.0..120.0),
    ] {
        let heads = Heads { key: 1, value, key_width: 8, value_width: 4 };
        check(&format!("gdn_gates {value} of {range:?}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let x = lab.spread("x", [step.capacity(), heads.projected()], DType::F32, range.clone());
            p.mark("gates", &gdn_gates(p, &step, &x, &a_dt(lab, value), heads));
        });
    }
}

/// a_log and dt_bias in the ranges of a model.
pub fn a_dt(lab: &Lab, value: u32) -> Tensor {
    let mut random = Random::new("a_dt");
    let a_log = (0..value).map(|_| random.within(&(-6.0..2.7))).collect::<Vec<_>>();
    let dt_bias = (0..value).map(|_| random.within(&(-4.0..1.0))).collect::<Vec<_>>();
    lab.tensor([2, value], DType::F32, &[a_log, dt_bias].concat())
}
