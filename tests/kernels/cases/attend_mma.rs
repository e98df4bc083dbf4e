use std::{cell::Cell, sync::Arc};

use bimetal::{
    Backend,
    low_level::{
        compute::{caps::Caps, cpu::Cpu, dtype::DType, pass::Pass},
        kernels::operands::{heads::AttentionHeads, step::Phase},
        ops::attention::attend_prefill,
    },
};

use super::matmul_mma::in_f16;
use crate::{
    harness::{Case, Output, backends, check, outputs},
    kv_case::KvCase,
    step_cases::*,
};

const fn prompt(spans: &'static [(u32, u32, u32)]) -> StepCase {
    StepCase { kind: Phase::Prefill, spans, spare: 3 }
}

/// First positions around a fragment of keys and around a tile of keys; rows that fill, begin and end tiles.
const POSITIONS: &[StepCase] = &[
    prompt(&[(1, 0, 0)]),
    prompt(&[(1, 0, 0), (1, 1, 3), (17, 15, 1), (33, 16, 2)]),
    prompt(&[(31, 17, 2), (5, 300, 0), (64, 1, 1)]),
    prompt(&[(40, 1000, 1), (16, 31, 0), (15, 32, 3)]),
];

/// All head widths of matrix units, and all ratios of query to key heads. A device without matrix units uses
/// `attend_prefill`, which has its own cases.
#[test]
pub fn cases() {
    for (step_case, [query, kv, width]) in [
        (POSITIONS[0], [1, 1, 64]),
        (POSITIONS[1], [4, 2, 64]),
        (POSITIONS[2], [4, 1, 128]),
        (POSITIONS[3], [2, 2, 128]),
        (POSITIONS[1], [2, 1, 256]),
        (POSITIONS[3], [4, 1, 256]),
        // Only fragments of 8 support this width.
        (POSITIONS[2], [3, 1, 32]),
    ] {
        let heads = AttentionHeads { query, kv, width };
        let kv_case = KvCase { step: step_case, heads, cache: DType::F16 };
        check(&format!("attend_mma {query} on {kv} × {width}"), |case, p| {
            kv_case.prefill(case, p, &in_f16(case, &kv_case.queries(case)), DType::F16);
        });
    }
}

/// A cache of 8 bits, which the kernel converts to f16.
#[test]
pub fn heads_of_8_bits() {
    for (step_case, [query, kv, width]) in [
        (POSITIONS[1], [4, 2, 64]),
        (POSITIONS[2], [4, 1, 128]),
        (POSITIONS[3], [4, 2, 256]),
        // Only fragments of 8 support this width.
        (POSITIONS[2], [3, 1, 32]),
    ] {
        let heads = AttentionHeads { query, kv, width };
        let kv_case = KvCase { step: step_case, heads, cache: DType::Q8Heads };
        check(&format!("attend_mma {query} on {kv} × {width} of 8 bits"), |case, p| {
            kv_case.prefill(case, p, &kv_case.queries(case), DType::F16);
        });
    }
}

/// Queries in f32, as in a model: the extra rounding stays within the bound.
#[test]
pub fn singles() {
    let heads = AttentionHeads { query: 2, kv: 1, width: 256 };
    let kv_case = KvCase { step: POSITIONS[2], heads, cache: DType::F16 };
    check("attend_mma of f32", |case, p| kv_case.prefill(case, p, &kv_case.queries(case), DType::F16));
}

/// Scores that grow from tile to tile, so that every tile raises the maximum and rescales earlier sums.
#[test]
pub fn rising() {
    let step_case = prompt(&[(40, 300, 1), (3, 90, 0)]);
    let heads = AttentionHeads { query: 2, kv: 1, width: 64 };
    check("attend_mma of rising scores", |case, p| {
        let q = case.tensor([step_case.capacity(), 128], DType::F16, &vec![1.0; 128 * step_case.capacity() as usize]);
        let step = step_case.step(case, 10);
        let x = step_case.by_position(case, "x", heads.projected(), -6.0..6.0);
        let mut cache = step_case.pages(case, heads, DType::F16, -1.0..1.0);
        // 8 · position / 8 for each of 64 elements over √64: the score equals the position.
        step_case.overwrite(&mut cache.keys, heads.kv, |position| position as f32 / 8.0);
        p.mark("out", &attend_prefill(recorder(p, &step).with_activations(DType::F16), &q, &x, &cache));
    });
}

/// Matrix units are used if the device has them and all their inputs have 16 bits.
#[test]
pub fn chosen() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let mut caps = backend.caps().clone();
    let recorded = |caps: &Caps, width: u32, kv: DType| -> &'static str {
        let heads = AttentionHeads { query: 8, kv: 2, width };
        let name = Cell::new("");
        let op = |case: &Case, _: &Pass| {
            let p = Pass::new(caps);
            let kv_case = KvCase { step: POSITIONS[0], heads, cache: kv };
            kv_case.prefill(case, &p, &kv_case.queries(case), DType::F16);
            name.set(p.finish().dispatches[0].kernel.name);
        };
        outputs("chosen", &backend, caps, op);
        name.get()
    };
    assert_eq!(recorded(&caps, 256, DType::F16), "attend_prefill", "without matrix units");
    (caps.matrix_units, caps.subgroup, caps.half) = (Some(16), Some([32, 32]), true);
    (caps.group_memory, caps.lanes) = (48 << 10, 1024);
    for width in [64, 128, 256] {
        assert_eq!(recorded(&caps, width, DType::F16), "attend_mma", "{width}");
    }
    assert_eq!(recorded(&caps, 32, DType::F16), "attend_prefill", "less than a subgroup's fragments");
    assert_eq!(recorded(&caps, 512, DType::F16), "attend_prefill", "more than registers hold");
    assert_eq!(recorded(&caps, 256, DType::Q8Heads), "attend_mma", "a cache of 8 bits");
    assert_eq!(recorded(&caps, 256, DType::F32), "attend_prefill", "a cache of f32");
    caps.group_memory = 32 << 10;
    assert_eq!(recorded(&caps, 256, DType::F16), "attend_prefill", "too little group memory");
    (caps.matrix_units, caps.subgroup) = (Some(8), Some([8, 8]));
    assert_eq!(recorded(&caps, 256, DType::F16), "attend_mma", "fragments of 8");
    assert_eq!(recorded(&caps, 32, DType::F16), "attend_prefill", "fewer lanes than rows");
    (caps.subgroup, caps.backend) = (Some([32, 32]), "metal");
    for width in [32, 64, 128, 256] {
        assert_eq!(recorded(&caps, width, DType::F16), "attend_mma", "{width} by rows");
    }
    assert_eq!(recorded(&caps, 512, DType::F16), "attend_prefill", "more than registers hold, by rows");
    caps.group_memory = 16 << 10;
    assert_eq!(recorded(&caps, 256, DType::F16), "attend_prefill", "too little group memory, by rows");
}

/// A row's result has the same bits in any tile, at any place in it, and with any other rows in the step.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(90, 10, 1)], spare: 0 };
    const CUT: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (63, 37, 1), (33, 3, 2)], spare: 7 };
    const LAST: StepCase = StepCase { kind: Phase::Prefill, spans: &[(2, 50, 0), (1, 99, 1)], spare: 0 };
    for (width, kv) in [(64, DType::F16), (256, DType::F16), (64, DType::Q8Heads)] {
        let heads = AttentionHeads { query: 2, kv: 1, width };
        for (name, backend) in backends() {
            let run = |step: StepCase| -> Output {
                let kv_case = KvCase { step, heads, cache: kv };
                let op = |case: &Case, p: &Pass| kv_case.prefill(case, p, &kv_case.queries(case), DType::F16);
                outputs("batch invariance", &backend, backend.caps(), op).remove(0)
            };
            let (whole, cut, last) = (run(WHOLE), run(CUT), run(LAST));
            for row in 0..63 {
                assert!(whole.row(27 + row) == cut.row(9 + row), "{name}: row {row}");
            }
            assert!(whole.row(89) == last.row(2), "{name}: last row");
        }
    }
}
