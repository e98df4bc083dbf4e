use bimetal::{
    dtype::DType,
    kernels::{
        qk_norm_rope::{Heads, QkNorm, qk_norm_rope},
        rms_norm::Norm,
    },
};

use super::{harness::check, traffic::*};

#[test]
fn cases() {
    for (traffic, [query, kv, width, rotary], weight) in [
        (PROMPTS[0], [1, 1, 16, 4], DType::F32),
        (PROMPTS[1], [4, 2, 64, 16], DType::Bf16),
        (PROMPTS[2], [8, 2, 256, 64], DType::F32),
        (DECODES[1], [6, 1, 32, 32], DType::F16),
        (DECODES[2], [3, 3, 128, 32], DType::Bf16),
    ] {
        let heads = Heads { query, kv, width };
        check(&format!("qk_norm_rope {query} + {kv} × {width}, {rotary} turned, {weight}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let x = lab.spread("x", [step.capacity(), heads.projected()], DType::F32, -3.0..3.0);
            let norm = |name: &str| Norm { weight: lab.spread(name, [1, width], weight, -0.2..0.3), eps: 1e-6 };
            let norms = QkNorm { query: norm("q_norm"), key: norm("k_norm") };
            let rope = lab.tensor([traffic.context(), rotary], DType::F32, &angles(traffic.context(), rotary));
            let [q, k] = qk_norm_rope(p, &step, &x, &norms, (&rope, heads));
            p.mark("q", &q);
            p.mark("k", &k);
        });
    }
}

fn angles(context: u32, rotary: u32) -> Vec<f32> {
    let frequency = |j: u32| 1e7f32.powf(-2.0 * j as f32 / rotary as f32);
    let pair = |position: u32, j: u32| {
        let angle = position as f32 * frequency(j);
        [angle.cos(), angle.sin()]
    };
    (0..context).flat_map(|position| (0..rotary / 2).flat_map(move |j| pair(position, j))).collect()
}
