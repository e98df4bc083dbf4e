use bimetal::low_level::{
    compute::{caps::Caps, dtype::DType, pass::Pass},
    kernels::{
        attend_decode::attend_decode,
        operands::{heads::AttentionHeads, step::Phase},
    },
};

use crate::{
    harness::{Case, backends, check, outputs},
    kv_case::backends_and_caches,
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [query, kv, width], dtype) in [
        (DECODES[0], [1, 1, 16], DType::F32),
        (DECODES[1], [4, 2, 64], DType::F16),
        (DECODES[2], [8, 2, 256], DType::F16),
        (DECODES[2], [6, 1, 32], DType::F32),
        (DECODES[2], [16, 1, 256], DType::F16),
        (DECODES[2], [3, 3, 512], DType::F16),
        (DECODES[2], [5, 1, 128], DType::F32),
        (DECODES[1], [2, 2, 16], DType::Q8Heads),
        (DECODES[2], [8, 2, 256], DType::Q8Heads),
        (DECODES[2], [3, 1, 512], DType::Q8Heads),
        (DECODES[2], [16, 2, 64], DType::Q8Heads),
        (DECODES[1], [6, 2, 128], DType::Q8Heads),
    ] {
        let heads = AttentionHeads { query, kv, width };
        let range = 20.0 / (width as f32).sqrt();
        check(&format!("attend_decode {query} on {kv} × {width} {dtype}"), attend(step_case, heads, dtype, range));
    }
}

fn attend(step_case: StepCase, heads: AttentionHeads, dtype: DType, range: f32) -> impl Fn(&Case, &Pass) {
    move |case, p| {
        let step = step_case.step(case, 10);
        let q = case.spread("q", [step.capacity(), heads.query * heads.width], DType::F32, -range..range);
        let cache = step_case.pages(case, heads, dtype, -2.0 * range..2.0 * range);
        let parts = attend_decode(recorder(p, &step), &q, &cache);
        p.mark("sums", &parts.sums);
        p.mark("stats", &parts.stats);
    }
}

/// A NaN key makes every result that uses it NaN. The same in 8 bits, where the head's scale is NaN.
#[test]
pub fn a_key_that_is_no_number_shows() {
    let heads = AttentionHeads { query: 4, kv: 2, width: 64 };
    let step_case = StepCase { kind: Phase::Decode, spans: &[(1, 17, 2), (1, 3, 0), (1, 40, 1)], spare: 1 };
    for (name, backend, kv) in backends_and_caches() {
        let op = |case: &Case, p: &Pass| {
            let step = step_case.step(case, 10);
            let q = case.spread("q", [step.capacity(), 4 * 64], DType::F32, -1.0..1.0);
            let mut cache = step_case.pages(case, heads, kv, -1.0..1.0);
            step_case.overwrite(&mut cache.keys, 2, |position| if position == 9 { f32::NAN } else { 0.5 });
            p.mark("sums", &attend_decode(recorder(p, &step), &q, &cache).sums);
        };
        let sums = outputs("none", &backend, backend.caps(), op).remove(0);
        for (row, none) in [(0, true), (1, false), (2, true)] {
            let head = &sums.row(row)[..64];
            assert!(head.iter().all(|bits| f32::from_bits(*bits).is_nan() == none), "{name}: {kv:?}: row {row}");
        }
    }
}

/// A row's partial results have the same bits, independent of other rows in the step.
#[test]
pub fn batch_invariance() {
    const TOGETHER: StepCase = StepCase { kind: Phase::Decode, spans: &[(1, 97, 1), (1, 5, 0), (1, 250, 2)], spare: 2 };
    const ALONE: StepCase = StepCase { kind: Phase::Decode, spans: &[(1, 97, 1)], spare: 0 };
    let heads = AttentionHeads { query: 8, kv: 2, width: 64 };
    for (name, backend, kv) in backends_and_caches() {
        let caps: &Caps = backend.caps();
        let together = outputs("batch invariance", &backend, caps, attend(TOGETHER, heads, kv, 1.0));
        let alone = outputs("alone", &backend, caps, attend(ALONE, heads, kv, 1.0));
        for (together, alone) in together.iter().zip(&alone) {
            assert!(together.row(0) == alone.row(0), "{name}: {}", alone.name);
        }
    }
}

/// Summing as many heads as fit in workgroup memory gives the same bits as one head after the other.
#[test]
pub fn room_for_heads() {
    let heads = AttentionHeads { query: 12, kv: 2, width: 32 };
    for (name, backend) in backends() {
        let run = |memory: u32| {
            let group_memory = memory.min(backend.caps().group_memory);
            let caps = Caps { group_memory, ..backend.caps().clone() };
            outputs("room", &backend, &caps, attend(DECODES[2], heads, DType::F16, 1.0))
        };
        let small = run(16 << 10);
        for memory in [0, 22 << 10, 32 << 10] {
            for (large, small) in run(memory).iter().zip(&small) {
                assert!((0..9).all(|row| large.row(row) == small.row(row)), "{name}: {memory} bytes: {}", small.name);
            }
        }
    }
}

/// For any heads, lanes share no more workgroup memory than the device has, and as many heads' sums as fit.
#[test]
#[cfg(feature = "wgpu")]
pub fn group_memory_suffices() {
    use bimetal::{
        Backend,
        low_level::compute::{cpu::Cpu, wgpu::prelude::shader},
    };
    let backend: std::sync::Arc<dyn Backend> = std::sync::Arc::new(Cpu::default());
    for ([query, width], dtype) in
        [[1, 16], [16, 16], [6, 32], [16, 64], [8, 64], [4, 128], [4, 256], [16, 256], [3, 512]]
            .into_iter()
            .flat_map(|heads| [(heads, DType::F32), (heads, DType::Q8Heads)])
    {
        for (subgroup, kib) in [None, Some([4, 32]), Some([32, 32])].into_iter().flat_map(|of| [(of, 16), (of, 48)]) {
            let caps = Caps { group_memory: kib << 10, subgroup, ..backend.caps().clone() };
            let (case, p) = (Case::new(backend.clone()), Pass::new(&caps));
            attend(DECODES[0], AttentionHeads { query, kv: 1, width }, dtype, 1.0)(&case, &p);
            let dispatch = p.finish().dispatches.remove(0);
            let module = naga::front::wgsl::parse_str(&shader(&dispatch, &caps).unwrap()).unwrap();
            let shared = module.global_variables.iter().filter(|(_, it)| it.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, it)| module.types[it.ty].inner.size(module.to_ctx())).sum();
            assert!(bytes <= kib << 10, "{query} × {width} {dtype} {subgroup:?}: {bytes} bytes of {kib} KiB");
            let (heads, each) = (dispatch.define("HEADS_AT_ONCE"), 4 * width * dispatch.define("TEAMS"));
            assert!(heads == query || bytes + each * heads > kib << 10, "{query} × {width}: {heads} heads at once");
        }
    }
}
