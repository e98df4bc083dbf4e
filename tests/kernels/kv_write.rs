use bimetal::{
    dtype::DType,
    kernels::{kv_write::kv_write, qk_norm_rope::Heads},
};

use super::{harness::check, traffic::*};

#[test]
fn cases() {
    for (traffic, [query, kv, width], dtype, range) in [
        (PROMPTS[0], [1, 1, 16], DType::F32, -3.0..3.0),
        (PROMPTS[1], [4, 2, 64], DType::F16, -3.0..3.0),
        (PROMPTS[2], [4, 2, 256], DType::F16, -3.0..3.0),
        // Halves saturate.
        (DECODES[1], [3, 1, 32], DType::F16, -1e5..1e5),
        (DECODES[2], [8, 2, 128], DType::F32, -3.0..3.0),
    ] {
        let heads = Heads { query, kv, width };
        check(&format!("kv_write {kv} × {width} of {range:?} to {dtype}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let k = lab.spread("k", [step.capacity(), kv * width], DType::F32, range.clone());
            let x = lab.spread("x", [step.capacity(), heads.projected()], DType::F32, range.clone());
            let mut cache = traffic.blocks(lab, kv * width, dtype, -1.0..1.0);
            kv_write(p, &step, (&k, &x), heads, &mut cache);
            p.mark("keys", &cache.keys);
            p.mark("values", &cache.values);
        });
    }
}
