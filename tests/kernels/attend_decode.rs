use bimetal::{
    backend::Caps,
    dtype::DType,
    kernels::{attend_decode::attend_decode, qk_norm_rope::Heads},
    pass::Pass,
    step::Kind,
};

use super::{
    harness::{Lab, backends, check, outputs},
    traffic::*,
};

#[test]
pub fn cases() {
    for (traffic, [query, kv, width], dtype) in [
        (DECODES[0], [1, 1, 16], DType::F32),
        (DECODES[1], [4, 2, 64], DType::F16),
        (DECODES[2], [8, 2, 256], DType::F16),
        (DECODES[2], [6, 1, 32], DType::F32),
        (DECODES[2], [16, 1, 256], DType::F16),
        (DECODES[2], [3, 3, 512], DType::F16),
        (DECODES[2], [5, 1, 128], DType::F32),
    ] {
        let heads = Heads { query, kv, width };
        let range = 20.0 / (width as f32).sqrt();
        check(&format!("attend_decode {query} on {kv} × {width} {dtype}"), attend(traffic, heads, dtype, range));
    }
}

fn attend(traffic: Traffic, heads: Heads, dtype: DType, range: f32) -> impl Fn(&Lab, &Pass) {
    move |lab, p| {
        let step = traffic.step(lab, 10);
        let q = lab.spread("q", [step.capacity(), heads.query * heads.width], DType::F32, -range..range);
        let cache = traffic.blocks(lab, heads.kv * heads.width, dtype, -2.0 * range..2.0 * range);
        let parts = attend_decode(p, &step, &q, &cache, heads);
        p.mark("sums", &parts.sums);
        p.mark("stats", &parts.stats);
    }
}

/// A row's partial results are the same bits whoever else decodes with it.
#[test]
pub fn company() {
    const TOGETHER: Traffic = Traffic { kind: Kind::Decode, spans: &[(1, 97, 1), (1, 5, 0), (1, 250, 2)], spare: 2 };
    const ALONE: Traffic = Traffic { kind: Kind::Decode, spans: &[(1, 97, 1)], spare: 0 };
    let heads = Heads { query: 8, kv: 2, width: 64 };
    for (name, backend) in backends() {
        let caps: &Caps = backend.caps();
        let together = outputs("company", &backend, caps, attend(TOGETHER, heads, DType::F16, 1.0));
        let alone = outputs("alone", &backend, caps, attend(ALONE, heads, DType::F16, 1.0));
        for (together, alone) in together.iter().zip(&alone) {
            assert!(together.row(0) == alone.row(0), "{name}: {}", alone.name);
        }
    }
}
