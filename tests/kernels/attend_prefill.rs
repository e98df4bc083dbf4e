use bimetal::{
    dtype::DType,
    kernels::{attend_prefill::attend_prefill, qk_norm_rope::Heads},
    pass::Pass,
    step::Phase,
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
        (PROMPTS[2], [4, 2, 256], DType::Q8Heads, DType::F32),
        (PROMPTS[1], [1, 1, 16], DType::Q8Heads, DType::F32),
        (PROMPTS[3], [3, 3, 64], DType::Q8Heads, DType::F16),
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
        let cache = traffic.blocks(lab, heads, cache, -2.0 * range..2.0 * range);
        p.mark("out", &attend_prefill(p, &step, (&q, &x), &cache, (heads, dtype)));
    }
}

/// A key with a number that is none makes every result none that it goes into, in 8 bits too, where it is the head's scale;
/// by matrix units where there are some.
#[test]
pub fn a_key_that_is_no_number_shows() {
    let heads = Heads { query: 2, kv: 1, width: 64 };
    let traffic = Traffic { kind: Phase::Prefill, spans: &[(40, 10, 1), (7, 0, 0)], spare: 3 };
    for ((name, backend), kv) in
        backends().into_iter().flat_map(|one| [(one.clone(), DType::F16), (one, DType::Q8Heads)])
    {
        for dtype in [DType::F32, DType::F16] {
            let op = |lab: &Lab, p: &Pass| {
                let step = traffic.step(lab, 10);
                let q = traffic.by_position(lab, "q", 128, -1.0..1.0);
                let x = traffic.by_position(lab, "x", heads.projected(), -6.0..6.0);
                let mut cache = traffic.blocks(lab, heads, kv, -1.0..1.0);
                traffic.overwrite(&mut cache.keys, 1, |position| if position == 22 { f32::NAN } else { 0.5 });
                p.mark("out", &attend_prefill(p, &step, (&q, &x), &cache, (heads, dtype)));
            };
            let out = outputs("none", &backend, backend.caps(), op).remove(0);
            let none: Vec<bool> = out.values().map(f32::is_nan).collect();
            // Positions 10 to 49, and then 0 to 6 of another sequence.
            let rows: Vec<_> =
                none.chunks(128).map(|row| (row.iter().any(|none| *none), row.iter().all(|none| *none))).collect();
            assert!(rows[12..40].iter().all(|(_, all)| *all), "{name}: {kv:?} to {dtype}: behind it");
            assert!(
                rows[..12].iter().chain(&rows[40..47]).all(|(any, _)| !any),
                "{name}: {kv:?} to {dtype}: before it"
            );
        }
    }
}

/// A row's result is the same bits whichever tile it is in and whoever else is in the step.
#[test]
pub fn company() {
    const WHOLE: Traffic = Traffic { kind: Phase::Prefill, spans: &[(70, 10, 1)], spare: 0 };
    const CUT: Traffic = Traffic { kind: Phase::Prefill, spans: &[(9, 0, 0), (43, 37, 1), (33, 3, 2)], spare: 7 };
    let heads = Heads { query: 2, kv: 1, width: 64 };
    for ((name, backend), kv) in
        backends().into_iter().flat_map(|one| [(one.clone(), DType::F16), (one, DType::Q8Heads)])
    {
        let run =
            |traffic| outputs("company", &backend, backend.caps(), attend(traffic, heads, (kv, DType::F32))).remove(0);
        let (whole, cut) = (run(WHOLE), run(CUT));
        for row in 0..43 {
            assert!(whole.row(27 + row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}
