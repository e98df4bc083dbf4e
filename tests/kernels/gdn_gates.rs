use bimetal::{
    dtype::DType,
    kernels::{gdn_conv::Heads, gdn_gates::gdn_gates},
};

use super::{harness::check, traffic::*};

#[test]
fn cases() {
    for (traffic, value, dtype, range) in [
        (PROMPTS[0], 1, DType::F32, -4.0..4.0),
        (PROMPTS[1], 3, DType::F32, -4.0..4.0),
        (PROMPTS[2], 16, DType::Bf16, -4.0..4.0),
        (DECODES[1], 48, DType::F16, -4.0..4.0),
        // Where ln(1 + exp) is flat, and where it is straight.
        (DECODES[2], 33, DType::F32, -100.0..-6.0),
        (DECODES[2], 32, DType::F32, 20.0..120.0),
    ] {
        let heads = Heads { key: 1, value, key_width: 8, value_width: 4 };
        check(&format!("gdn_gates {value} {dtype} of {range:?}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let x = lab.spread("x", [step.capacity(), heads.projected()], DType::F32, range.clone());
            let a_log = lab.spread("a_log", [1, value], dtype, -6.0..2.7);
            let dt_bias = lab.spread("dt_bias", [1, value], dtype, -4.0..1.0);
            p.mark("gates", &gdn_gates(p, &step, &x, (&a_log, &dt_bias), heads));
        });
    }
}
