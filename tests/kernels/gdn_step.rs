use bimetal::kernels::{gdn_conv::Heads, gdn_step::gdn_step};

use super::{
    gdn_scan::{Inputs, slots},
    harness::check,
    traffic::*,
};

#[test]
fn cases() {
    for (traffic, [key, value, key_width, value_width]) in [
        (DECODES[0], [1, 1, 4, 4]),
        (DECODES[1], [2, 4, 24, 20]),
        (DECODES[2], [1, 2, 128, 128]),
        (DECODES[2], [2, 2, 64, 36]),
        (DECODES[1], [1, 3, 20, 64]),
    ] {
        let heads = Heads { key, value, key_width, value_width };
        check(&format!("gdn_step {key} × {key_width}, {value} × {value_width}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let inputs = Inputs::new(lab, traffic, heads);
            let mut slots = slots(lab, traffic, heads);
            p.mark("o", &gdn_step(p, &step, &inputs.qkv, &inputs.gates, &mut slots));
            p.mark("state", &slots.state);
        });
    }
}
