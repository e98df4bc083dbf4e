use std::sync::Arc;

use bimetal::{
    Backend,
    low_level::{
        compute::{
            cpu::Cpu,
            dtype::{DType, Packs},
            pass::Pass,
        },
        kernels::{
            attend_decode::{Partials, attend_decode},
            attend_merge::attend_merge,
            operands::{heads::AttentionHeads, step::Phase},
        },
    },
};

use crate::{
    harness::{Case, backends, check, check_rows_packed, compare, outputs},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [query, kv, width], dtype) in [
        (DECODES[0], [1, 1, 16], DType::F32),
        (DECODES[1], [4, 2, 64], DType::F16),
        (DECODES[2], [6, 1, 256], DType::F32),
        (DECODES[2], [2, 2, 512], DType::F16),
    ] {
        let heads = AttentionHeads { query, kv, width };
        check(&format!("attend_merge {query} × {width} to {dtype}"), |case, p| {
            merge(case, p, step_case, (heads, dtype))
        });
    }
}

/// Rows that stay packed for a product, in both byte orders.
#[test]
pub fn left_packed() {
    for (step_case, [query, kv, width], packs) in [
        (DECODES[2], [6, 1, 256], Packs::Bytes),
        (DECODES[1], [4, 2, 64], Packs::Nibbles),
        (DECODES[0], [1, 1, 32], Packs::Nibbles),
    ] {
        let heads = AttentionHeads { query, kv, width };
        check_rows_packed(&format!("attend_merge {query} × {width} to {packs:?}"), |case, p| {
            merge(case, p, step_case, (heads, DType::Packed(packs)));
        });
    }
}

fn merge(case: &Case, p: &Pass, step_case: StepCase, (heads, dtype): (AttentionHeads, DType)) {
    let step = step_case.step(case, 10);
    let mut parts = Partials::new(recorder(p, &step), step.capacity(), heads);
    parts.stats = case.spread("stats", [step.capacity(), parts.stats.width()], DType::F32, 0.5..20.0);
    parts.sums = case.spread("sums", [step.capacity(), parts.sums.width()], DType::F32, -5.0..5.0);
    let x = case.spread("x", [step.capacity(), heads.projected()], DType::F32, -6.0..6.0);
    p.mark("out", &attend_merge(recorder(p, &step).with_activations(dtype), &parts, &x));
}

/// After the kernel whose results it merges, with contexts that leave parts empty.
#[test]
pub fn behind_decode() {
    for (step_case, [query, kv, width], dtype) in
        [(DECODES[1], [4, 2, 64], DType::F16), (DECODES[2], [8, 2, 256], DType::F32), (LONG, [12, 1, 16], DType::F16)]
    {
        let heads = AttentionHeads { query, kv, width };
        check(&format!("attend_decode and attend_merge {query} × {width}"), attend(step_case, heads, dtype));
    }
}

/// Contexts that end just before, at and after the start of a part.
const LONG: StepCase = StepCase {
    kind: Phase::Decode,
    spans: &[(1, 700, 2), (1, 127, 0), (1, 128, 1), (1, 129, 3), (1, 30, 5), (1, 31, 4), (1, 32, 6)],
    spare: 1,
};

fn attend(step_case: StepCase, heads: AttentionHeads, dtype: DType) -> impl Fn(&Case, &Pass) {
    move |case, p| {
        let step = step_case.step(case, 10);
        let q = case.spread("q", [step.capacity(), heads.query * heads.width], DType::F32, -3.0..3.0);
        let x = case.spread("x", [step.capacity(), heads.projected()], DType::F32, -6.0..6.0);
        let cache = step_case.pages(case, heads, dtype, -3.0..3.0);
        let parts = attend_decode(recorder(p, &step), &q, &cache);
        p.mark("out", &attend_merge(recorder(p, &step), &parts, &x));
    }
}

/// The result is the same within round-off for any number of parts.
#[test]
pub fn splits() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    let widths = [(6, 256), (2, 512)];
    for ((name, backend), (query, width)) in backends().into_iter().flat_map(|one| widths.map(|of| (one.clone(), of))) {
        let heads = AttentionHeads { query, kv: 2, width };
        let run = |on: &Arc<dyn Backend>, splits: u32| {
            let mut caps = backend.caps().clone();
            caps.tiles.attend_splits = splits;
            outputs("splits", on, &caps, attend(LONG, heads, DType::F16)).remove(0)
        };
        let whole = run(&oracle, 1);
        for splits in [1, 3, 16, 64] {
            let error = compare(&format!("{name}: {splits} parts of {width}"), &whole, &run(&backend, splits));
            println!("{name}: {splits} parts of {width} against one on cpu: {error:.1e}");
        }
    }
}
