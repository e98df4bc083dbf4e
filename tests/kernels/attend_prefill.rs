use bimetal::{
    dtype::DType,
    kernels::{attend_prefill::attend_prefill, qk_norm_rope::Heads},
    pass::Pass,
    step::Kind,
};

use super::{
    harness::{Lab, backends, check, outputs},
    traffic::*,
};

#[test]
pub fn cases() {
    for (traffic, [query, kv, width], cache, dtype) in [
        (PROMPTS[0], [1, 1, 16], DType::F32, DType::F32),
        (PROMPTS[1], [4, 2, 64], DType::F16, DType::F16),
        (PROMPTS[2], [2, 1, 256], DType::F16, DType::F32),
        (PROMPTS[2], [3, 3, 32], DType::F32, DType::F16),
        (PROMPTS[3], [6, 1, 128], DType::F16, DType::F32),
        (PROMPTS[1], [2, 1, 512], DType::F16, DType::F32),
    ] {
        let heads = Heads { query, kv, width };
        check(
            &format!("attend_prefill {query} on {kv} × {width} {cache} to {dtype}"),
            attend(traffic, heads, (cache, dtype)),
        );
    }
}

fn attend(traffic: Traffic, heads: Heads, (cache, dtype): (DType, DType)) -> impl Fn(&Lab, &Pass) {
    move |lab, p| {
        let step = traffic.step(lab, 10);
        let range = 20.0 / (heads.width as f32).sqrt();
        // Rows by slot and position, so that another cut of the same sequence has the same ones.
        let q = traffic.by_position(lab, "q", heads.query * heads.width, -range..range);
        let x = traffic.by_position(lab, "x", heads.projected(), -6.0..6.0);
        let cache = traffic.blocks(lab, heads.kv * heads.width, cache, -2.0 * range..2.0 * range);
        p.mark("out", &attend_prefill(p, &step, (&q, &x), &cache, (heads, dtype)));
    }
}

/// A row's result is the same bits whichever tile it is in and whoever else is in the step.
#[test]
pub fn company() {
    const WHOLE: Traffic = Traffic { kind: Kind::Prompt, spans: &[(70, 10, 1)], spare: 0 };
    const CUT: Traffic = Traffic { kind: Kind::Prompt, spans: &[(9, 0, 0), (43, 37, 1), (33, 3, 2)], spare: 7 };
    let heads = Heads { query: 2, kv: 1, width: 64 };
    for (name, backend) in backends() {
        let run = |traffic| {
            outputs("company", &backend, backend.caps(), attend(traffic, heads, (DType::F16, DType::F32))).remove(0)
        };
        let (whole, cut) = (run(WHOLE), run(CUT));
        for row in 0..43 {
            assert!(whole.row(27 + row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}
