//! The second kernel of the chunkwise gated delta rule, after the first: against the plain loops, and against
//! `gdn_scan`.

use std::sync::Arc;

use bimetal::{
    Backend,
    low_level::{
        compute::{caps::Caps, cpu::Cpu, dtype::DType, pass::Pass},
        kernels::{
            gdn_chunk_solve::{ChunkTiling, gdn_chunk_solve},
            gdn_chunk_state::gdn_chunk_state,
            gdn_conv::Mixed,
            gdn_scan::gdn_scan,
            operands::{heads::DeltaHeads, step::Phase},
        },
        ops::delta_net::gdn_prefill,
    },
};

use super::gdn_scan::{inputs, orders, slots};
use crate::{
    harness::{Case, Output, backends, check_by, outputs},
    step_cases::*,
};

const fn prompt(spans: &'static [(u32, u32, u32)]) -> StepCase {
    StepCase { kind: Phase::Prefill, spans, spare: 3 }
}

/// One row; rows around a chunk, at its beginning and across its end; several chunks.
const STEP_CASES: &[StepCase] = &[
    prompt(&[(1, 0, 0)]),
    prompt(&[(65, 0, 2), (2, 64, 0), (63, 3, 1)]),
    prompt(&[(64, 64, 1), (130, 100, 0), (1, 63, 3), (2, 63, 2)]),
    prompt(&[(193, 0, 1)]),
];

pub const HEADS: [[u32; 4]; 4] = [[1, 1, 64, 32], [1, 2, 128, 64], [2, 4, 64, 64], [1, 2, 128, 128]];

fn cases() -> impl Iterator<Item = (&'static StepCase, DeltaHeads)> {
    STEP_CASES.iter().zip(HEADS).flat_map(|(step_case, heads)| orders(heads).map(move |heads| (step_case, heads)))
}

/// The capabilities of a device with matrix units of some size.
pub fn with_units(fragment: u32, width: u32) -> Caps {
    let mut caps = Cpu::default().caps().clone();
    (caps.matrix_units, caps.subgroup, caps.half) = (Some(fragment), Some([width, width]), true);
    (caps.group_memory, caps.lanes) = (32 << 10, 1024);
    caps
}

/// Every backend, and the plain loops of a device with matrix units.
fn settings() -> Vec<(String, Caps, Arc<dyn Backend>)> {
    let present = backends().into_iter().map(|(name, backend)| (name.into(), backend.caps().clone(), backend));
    present.chain([("plain loops".into(), with_units(16, 32), Arc::new(Cpu::default()) as Arc<dyn Backend>)]).collect()
}

/// RMS(wanted − got) / RMS(wanted) over the rows that the plain loop wrote; at most `bound`.
pub fn within(bound: f64) -> impl Fn(&str, &Output, &Output) -> f64 {
    move |label, wanted, got| {
        let (mut difference, mut size) = (0.0, 0.0);
        for (want, found) in wanted.values().zip(got.values()) {
            assert_eq!(want.is_nan(), found.is_nan(), "{label}: {}: {found} for {want}", wanted.name);
            if !want.is_nan() {
                difference += f64::from(want - found).powi(2);
                size += f64::from(want).powi(2);
            }
        }
        let error = if difference == 0.0 { 0.0 } else { (difference / size).sqrt() };
        assert!(error <= bound, "{label}: {}: error {error:.2e} of at most {bound:.0e}", wanted.name);
        error
    }
}

fn scan(case: &Case, p: &Pass, (step_case, heads): (&StepCase, DeltaHeads)) {
    let (step, slots) = (step_case.step(case, 10), &mut slots(case, *step_case, heads));
    let mixed = inputs(case, *step_case, heads);
    p.mark("o", &gdn_scan(recorder(p, &step), &mixed, slots));
    p.mark("state", &slots.state);
}

fn chunks(case: &Case, p: &Pass, (step_case, heads): (&StepCase, DeltaHeads)) {
    let (step, slots) = (step_case.step(case, 10), &mut slots(case, *step_case, heads));
    let mixed = inputs(case, *step_case, heads);
    p.mark("o", &gdn_prefill(recorder(p, &step).with_activations(DType::F16), &mixed, slots));
    p.mark("state", &slots.state);
}

/// State-independent values in f16, and their consequences. A device without matrix units uses `gdn_scan`, which has
/// its own cases.
#[test]
pub fn plain_loops() {
    for shape in cases() {
        check_by(&format!("gdn_chunk {:?}", shape.1), |case, p| chunks(case, p, shape), within(1e-3));
    }
}

/// The parts of a chunk one by one. Without matrix units, this compares the plain loops for tiling of 8 with those for
/// tiling of 16.
#[test]
pub fn parts() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    let solve = |caps: &Caps, backend: &Arc<dyn Backend>, (step_case, heads): (&StepCase, DeltaHeads)| {
        outputs("gdn_chunk_solve", backend, caps, |case, p| {
            let tiling = ChunkTiling::fit(caps, heads, DType::F16).unwrap();
            let (step, slots) = (step_case.step(case, 10), &mut slots(case, *step_case, heads));
            let mixed = inputs(case, *step_case, heads);
            let solved = gdn_chunk_solve(recorder(p, &step), &mixed, heads, tiling);
            p.mark("state_reads", &solved.state_reads);
            p.mark("state_writes", &solved.state_writes);
            p.mark("u", &solved.u);
            p.mark("chunk_decay", &solved.chunk_decay);
            p.mark("o", &gdn_chunk_state(recorder(p, &step), &solved, slots, tiling, mixed.qkv.rows()));
            p.mark("state", &slots.state);
        })
    };
    let present = backends().into_iter().filter(|(_, backend)| backend.caps().matrix_units.is_some());
    let present: Vec<_> = present.map(|(name, backend)| (name, backend.caps().clone(), backend)).collect();
    let plain = ("fragments of 8", with_units(8, 8), oracle.clone());
    for shape in cases() {
        for (name, caps, backend) in present.iter().chain([&plain]) {
            let wanted = solve(&with_units(16, 32), &oracle, shape);
            let got = solve(caps, backend, shape);
            for (wanted, got) in wanted.iter().zip(&got) {
                let error = within(1e-3)(name, wanted, got);
                println!("{name}, {:?}: {} {error:.1e}", shape.1, wanted.name);
            }
        }
    }
}

/// Chunks give the same as token by token: with any decay from none to nearly everything, and with used states. The
/// only loss is the rounding of keys, queries, values and A⁻¹ to f16.
#[test]
pub fn like_the_scan() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    for shape in cases() {
        let wanted = outputs("gdn_scan", &oracle, oracle.caps(), |case, p| scan(case, p, shape));
        for (name, caps, backend) in &settings() {
            let got = outputs("gdn_chunk", backend, caps, |case, p| chunks(case, p, shape));
            for (wanted, got) in wanted.iter().zip(&got) {
                let error = within(1e-3)(name, wanted, got);
                println!("{name}, {:?}: {} {error:.1e} from gdn_scan", shape.1, wanted.name);
            }
        }
    }
}

/// A state without decay and writes stays unchanged. It is read with more digits than one f16: with one f16 instead of
/// two, the error is 1.8e-4.
#[test]
pub fn digits() {
    let (step_case, heads) = (STEP_CASES[1], DeltaHeads::grouped([1, 1, 64, 32]));
    let op = |case: &Case, p: &Pass| {
        let (step, slots) = (step_case.step(case, 10), &mut slots(case, step_case, heads));
        let (qkv, gates) = (inputs(case, step_case, heads).qkv, vec![0.0; 2 * step_case.capacity() as usize]);
        let gates = case.tensor([step_case.capacity(), 2], DType::F32, &gates);
        p.mark("o", &gdn_prefill(recorder(p, &step).with_activations(DType::F16), &Mixed { qkv, gates }, slots));
        p.mark("state", &slots.state);
    };
    check_by("gdn_chunk without gates", op, |label, wanted, got| {
        within(if wanted.name == "state" { 0.0 } else { 2e-6 })(label, wanted, got)
    });
}

/// Tokens that clear the state leave later tokens as exact as any others.
#[test]
pub fn wipes() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    let (step_case, heads) = (STEP_CASES[2], DeltaHeads::grouped([1, 1, 64, 32]));
    let gates = |case: &Case| {
        let gates = (0..step_case.capacity()).flat_map(|row| [if row % 5 == 2 { -1e5 } else { -0.01 }, 0.5]);
        case.tensor([step_case.capacity(), 2], DType::F32, &gates.collect::<Vec<_>>())
    };
    let run = |backend: &Arc<dyn Backend>, caps: &Caps, chunks: bool| {
        outputs("wipes", backend, caps, |case, p| {
            let (step, slots) = (step_case.step(case, 10), &mut slots(case, step_case, heads));
            let mixed = Mixed { qkv: inputs(case, step_case, heads).qkv, gates: gates(case) };
            p.mark(
                "o",
                &match chunks {
                    true => gdn_prefill(recorder(p, &step).with_activations(DType::F16), &mixed, slots),
                    false => gdn_scan(recorder(p, &step), &mixed, slots),
                },
            );
            p.mark("state", &slots.state);
        })
    };
    let wanted = run(&oracle, oracle.caps(), false);
    for (name, caps, backend) in settings() {
        for (wanted, got) in wanted.iter().zip(run(&backend, &caps, true)) {
            println!("{name}: {} {:.1e}", wanted.name, within(1e-3)(&name, wanted, &got));
        }
    }
}

/// A prompt gives the same bits for any cut at multiples of a chunk, also from the middle of a chunk. Other rows in the
/// step have no effect.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(170, 10, 1)], spare: 0 };
    const FIRST: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 3, 0), (54, 10, 1)], spare: 7 };
    const SECOND: StepCase = StepCase { kind: Phase::Prefill, spans: &[(116, 64, 1), (70, 0, 0)], spare: 0 };
    let heads = DeltaHeads::grouped([1, 2, 64, 32]);
    let run = |case: &Case,
               p: &Pass,
               step_case: StepCase,
               slots: &mut bimetal::low_level::kernels::operands::caches::Slots| {
        let mixed = inputs(case, step_case, heads);
        gdn_prefill(recorder(p, &step_case.step(case, 10)).with_activations(DType::F16), &mixed, slots)
    };
    for (name, caps, backend) in settings() {
        let whole = outputs("whole", &backend, &caps, |case, p| {
            let slots = &mut slots(case, WHOLE, heads);
            p.mark("o", &run(case, p, WHOLE, slots));
            p.mark("state", &slots.state);
        });
        let cut = outputs("cut", &backend, &caps, |case, p| {
            let slots = &mut slots(case, WHOLE, heads);
            let first = run(case, p, FIRST, slots);
            let second = run(case, p, SECOND, slots);
            p.mark("first", &first);
            p.mark("second", &second);
            p.mark("state", &slots.state);
        });
        for row in 0..170 {
            let part = if row < 54 { cut[0].row(9 + row) } else { cut[1].row(row - 54) };
            assert!(whole[0].row(row) == part, "{name}: row {row}");
        }
        assert!(whole[1].row(1) == cut[2].row(1), "{name}: state");
    }
}

/// The contents of a slot have no effect at a sequence's start.
#[test]
pub fn beginnings() {
    let heads = DeltaHeads::grouped([1, 1, 64, 32]);
    let step_case = prompt(&[(70, 0, 0)]);
    let op = |case: &Case, p: &Pass| {
        let state = case.poisoned([step_case.slots(), heads.state()], DType::F32);
        let mut slots = bimetal::low_level::kernels::operands::caches::Slots {
            conv_state: case.poisoned([1, 4], DType::F32),
            state,
            heads,
        };
        let mixed = inputs(case, step_case, heads);
        p.mark(
            "o",
            &gdn_prefill(recorder(p, &step_case.step(case, 10)).with_activations(DType::F16), &mixed, &mut slots),
        );
    };
    check_by("gdn_chunk in slots of NaN", op, |label, wanted, got| {
        assert!(wanted.values().take(70 * 32).all(|o| o.is_finite()), "{label}");
        within(1e-3)(label, wanted, got)
    });
}

/// Chunks are used if matrix units support the heads and inputs, for any capacity of the step.
#[test]
pub fn chosen() {
    let heads = |key_width, value_width| DeltaHeads::grouped([1, 2, key_width, value_width]);
    let caps = with_units(16, 32);
    for (key, value) in [(128, 128), (64, 64), (128, 32)] {
        assert!(ChunkTiling::fit(&caps, heads(key, value), DType::F16).is_some(), "{key} × {value}");
        assert!(
            ChunkTiling::fit(&with_units(8, 8), heads(key, value), DType::F16).is_some(),
            "{key} × {value}, tiling of 8"
        );
    }
    for (key, value) in [(256, 128), (96, 64), (32, 32), (128, 48)] {
        assert!(ChunkTiling::fit(&caps, heads(key, value), DType::F16).is_none(), "{key} × {value}");
    }
    assert!(ChunkTiling::fit(&caps, heads(128, 128), DType::F32).is_none(), "full precision");
    assert!(ChunkTiling::fit(Cpu::default().caps(), heads(128, 128), DType::F16).is_none(), "without matrix units");
    let small = Caps { group_memory: 16 << 10, ..caps };
    assert!(ChunkTiling::fit(&small, heads(128, 128), DType::F16).is_none(), "too little group memory");
    assert!(ChunkTiling::fit(&with_units(8, 4), heads(128, 128), DType::F16).is_none(), "fewer lanes than rows");
}
