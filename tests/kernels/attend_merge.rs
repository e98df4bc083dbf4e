use bimetal::{
    dtype::DType,
    kernels::{
        attend_decode::{Partials, attend_decode},
        attend_merge::attend_merge,
        qk_norm_rope::Heads,
    },
};

use super::{harness::check, traffic::*};

#[test]
fn cases() {
    for (traffic, [query, kv, width], dtype) in [
        (DECODES[0], [1, 1, 16], DType::F32),
        (DECODES[1], [4, 2, 64], DType::F16),
        (DECODES[2], [6, 1, 256], DType::F32),
        (DECODES[2], [2, 2, 512], DType::F16),
    ] {
        let heads = Heads { query, kv, width };
        check(&format!("attend_merge {query} × {width} to {dtype}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let splits = p.caps().tiles.attend_splits;
            let stats = lab.spread("stats", [step.capacity(), query * splits * 2], DType::F32, 0.5..20.0);
            let sums = lab.spread("sums", [step.capacity(), query * splits * width], DType::F32, -5.0..5.0);
            let x = lab.spread("x", [step.capacity(), heads.projected()], DType::F32, -6.0..6.0);
            p.mark("out", &attend_merge(p, &step, &Partials { sums, stats }, &x, (heads, dtype)));
        });
    }
}

/// Behind the kernel that it merges, and with contexts that leave splits empty.
#[test]
fn behind_decode() {
    for (traffic, [query, kv, width], dtype) in
        [(DECODES[1], [4, 2, 64], DType::F16), (DECODES[2], [8, 2, 256], DType::F32)]
    {
        let heads = Heads { query, kv, width };
        check(&format!("attend_decode and attend_merge {query} × {width}"), |lab, p| {
            let step = traffic.step(lab, 10);
            let q = lab.spread("q", [step.capacity(), query * width], DType::F32, -3.0..3.0);
            let x = lab.spread("x", [step.capacity(), heads.projected()], DType::F32, -6.0..6.0);
            let cache = traffic.blocks(lab, kv * width, dtype, -3.0..3.0);
            let parts = attend_decode(p, &step, &q, &cache, heads);
            p.mark("out", &attend_merge(p, &step, &parts, &x, (heads, DType::F32)));
        });
    }
}
