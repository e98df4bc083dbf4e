use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass},
    kernels::operands::{heads::AttentionHeads, step::Phase},
    ops::attention::attend_prefill,
};

use crate::{
    harness::{Case, check, outputs},
    kv_case::{KvCase, backends_and_caches},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [query, kv, width], cache, dtype) in [
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
        let heads = AttentionHeads { query, kv, width };
        let kv_case = KvCase { step: step_case, heads, cache };
        check(&format!("attend_prefill {query} on {kv} × {width} {cache} to {dtype}"), attend(kv_case, dtype));
    }
}

fn attend(kv_case: KvCase, to: DType) -> impl Fn(&Case, &Pass) {
    move |case, p| kv_case.prefill(case, p, &kv_case.queries(case), to)
}

/// A NaN key makes every result that uses it NaN, also with matrix units. The same in 8 bits, where the head's scale is
/// NaN.
#[test]
pub fn a_key_that_is_no_number_shows() {
    let heads = AttentionHeads { query: 2, kv: 1, width: 64 };
    let step_case = StepCase { kind: Phase::Prefill, spans: &[(40, 10, 1), (7, 0, 0)], spare: 3 };
    for (name, backend, kv) in backends_and_caches() {
        for dtype in [DType::F32, DType::F16] {
            let op = |case: &Case, p: &Pass| {
                let step = step_case.step(case, 10);
                let q = step_case.by_position(case, "q", 128, -1.0..1.0);
                let x = step_case.by_position(case, "x", heads.projected(), -6.0..6.0);
                let mut cache = step_case.pages(case, heads, kv, -1.0..1.0);
                step_case.overwrite(&mut cache.keys, 1, |position| if position == 22 { f32::NAN } else { 0.5 });
                p.mark("out", &attend_prefill(recorder(p, &step).with_activations(dtype), &q, &x, &cache));
            };
            let out = outputs("none", &backend, backend.caps(), op).remove(0);
            let none: Vec<bool> = out.values().map(f32::is_nan).collect();
            // Positions 10 to 49 of one sequence, and then 0 to 6 of another.
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

/// A row's result has the same bits in any tile and with any other rows in the step.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(70, 10, 1)], spare: 0 };
    const CUT: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (43, 37, 1), (33, 3, 2)], spare: 7 };
    let heads = AttentionHeads { query: 2, kv: 1, width: 64 };
    for (name, backend, kv) in backends_and_caches() {
        let run = |step_case| {
            let op = attend(KvCase { step: step_case, heads, cache: kv }, DType::F32);
            outputs("batch invariance", &backend, backend.caps(), op).remove(0)
        };
        let (whole, cut) = (run(WHOLE), run(CUT));
        for row in 0..43 {
            assert!(whole.row(27 + row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}
