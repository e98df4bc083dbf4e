use std::sync::Arc;

use bimetal::{
    Backend,
    low_level::{
        compute::{cpu::Cpu, dtype::DType, formats::heads::quantize, pass::Pass, tensor::Tensor},
        kernels::{
            operands::{heads::AttentionHeads, step::Phase},
            qk_norm_rope::{QkNorm, qk_norm_rope},
        },
    },
};

use crate::{
    harness::{Case, Output, backends, check, check_by, compare, outputs},
    step_cases::*,
};

#[test]
pub fn cases() {
    for (step_case, [query, kv, width, rotary], dtype, range) in [
        (PROMPTS[0], [1, 1, 16, 4], DType::F32, -3.0..3.0),
        (PROMPTS[1], [4, 2, 64, 16], DType::F16, -3.0..3.0),
        (PROMPTS[2], [8, 2, 256, 64], DType::F16, -3.0..3.0),
        (PROMPTS[3], [2, 1, 512, 512], DType::F32, -3.0..3.0),
        // f16 saturates.
        (DECODES[1], [6, 1, 32, 32], DType::F16, -1e5..1e5),
        (DECODES[2], [3, 3, 128, 32], DType::F32, -3.0..3.0),
    ] {
        let heads = AttentionHeads { query, kv, width };
        check(
            &format!("qk_norm_rope {query} + {kv} × {width} of {range:?}, {rotary} turned, to {dtype}"),
            |case, p| {
                turn(case, p, step_case, (heads, rotary, dtype), range.clone());
            },
        );
    }
}

/// Attention heads of 8 bits. Sums in another order may change a value near the middle between two codes to the other
/// code, and a scale to its neighbor. Copied values have the same codes on all backends.
#[test]
pub fn heads_of_8_bits() {
    for (step_case, [query, kv, width, rotary], range) in [
        (PROMPTS[0], [1, 1, 16, 4], -3.0..3.0),
        (PROMPTS[1], [4, 2, 64, 16], -1e5..1e5),
        (DECODES[2], [8, 2, 256, 64], -3.0..3.0),
        (PROMPTS[3], [2, 1, 512, 512], -1e-3..3e-3),
        (DECODES[1], [3, 3, 32, 32], -3.0..3.0),
    ] {
        let heads = AttentionHeads { query, kv, width };
        let op = |case: &Case, p: &Pass| turn(case, p, step_case, (heads, rotary, DType::Q8Heads), range.clone());
        check_by(&format!("qk_norm_rope {query} + {kv} × {width} to heads of 8 bits"), op, |label, wanted, got| {
            if wanted.dtype == DType::Q8Heads { compare_heads(label, wanted, got) } else { compare(label, wanted, got) }
        });
    }
}

/// The share of codes that differ, each by at most one.
fn compare_heads(label: &str, wanted: &Output, got: &Output) -> f64 {
    let (mut codes, mut others) = (0, 0);
    for (row, heads) in wanted.heads().into_iter().zip(got.heads()).enumerate() {
        let ((want, scale), (found, found_scale)) = match heads {
            (Some(want), Some(found)) => (want, found),
            (want, found) => {
                assert!(want == found, "{label}: {} of head {row}: {found:?} for {want:?}", wanted.name);
                continue;
            }
        };
        // The last of 16 digits.
        assert!(
            scale.abs_diff(found_scale) <= 0x100,
            "{label}: {} of head {row}: {found_scale} for {scale}",
            wanted.name
        );
        for (want, found) in want.into_iter().zip(found) {
            assert!(want.abs_diff(found) <= 1, "{label}: {} of head {row}: {found} for {want}", wanted.name);
            (codes, others) = (codes + 1, others + usize::from(want != found));
        }
        assert!(wanted.name != "values" || (scale, others) == (found_scale, 0), "{label}: value head {row}");
    }
    assert!(codes > 0 && others * 100 <= codes, "{label}: {others} of {codes} codes of {} differ", wanted.name);
    others as f64 / codes as f64
}

/// Keys and values of 8 bits are those that the backend stores in f32, quantized: the same codes and scales.
#[test]
pub fn codes_are_exact() {
    for (name, backend) in backends() {
        for (step_case, [query, kv, width, rotary]) in [(PROMPTS[1], [4, 2, 64, 16]), (DECODES[2], [2, 1, 512, 64])] {
            let heads = AttentionHeads { query, kv, width };
            let run = |dtype: DType| {
                let op = |case: &Case, p: &Pass| turn(case, p, step_case, (heads, rotary, dtype), -3.0..3.0);
                outputs("codes", &backend, backend.caps(), op)
            };
            let (singles, bytes) = (run(DType::F32), run(DType::Q8Heads));
            for (singles, bytes) in singles.iter().zip(&bytes).skip(1) {
                let written = bytes.heads().into_iter().enumerate().filter_map(|(row, head)| Some((row, head?)));
                let written: Vec<_> = written.collect();
                assert!(written.len() >= (step_case.active_rows() * kv) as usize, "{name}: {}", bytes.name);
                for (row, found) in written {
                    let values: Vec<f32> = singles.row(row as u32).iter().map(|bits| f32::from_bits(*bits)).collect();
                    assert!(found == quantized(&values), "{name}: {} of head {row} of {values:?}", bytes.name);
                }
            }
        }
    }
}

/// Codes and the bits of the scale, by definition.
fn quantized(values: &[f32]) -> (Vec<i8>, u32) {
    let mut codes = vec![0; values.len()];
    let scale = quantize(values, &mut codes).to_bits();
    (bytemuck::cast_vec(codes), scale)
}

/// Values at and near the middle between two codes, and at both ends; zeros, tiny and huge values, NaN and infinity.
#[test]
pub fn odd_values() {
    const NAN: u32 = 0x7fc0_0000;
    let next = |value: f32, by: i32| f32::from_bits(value.to_bits().wrapping_add_signed(by));
    let middles = |scale: f32| -> Vec<f32> {
        let codes = [0.5, 1.5, -2.5, 3.5, -63.5, 125.5, 126.5, -126.5].map(|code| code * scale);
        let near = codes.into_iter().flat_map(|middle| [middle, next(middle, 1), next(middle, -1)]);
        near.chain([127.0 * scale, -127.0 * scale]).chain([0.0; 6]).collect()
    };
    let with = |odd: f32| [&[odd][..], &[1.0; 31]].concat();
    let cases: Vec<Vec<f32>> = vec![
        middles(1.0),
        middles(0.125),
        middles(3.0),
        vec![0.0; 32],
        vec![-0.0; 32],
        with(f32::NAN),
        with(-f32::NAN),
        with(f32::INFINITY),
        with(f32::NEG_INFINITY),
        with(f32::MAX),
        with(-1e-40),
        vec![1e-31; 32],
        vec![-7e-31; 32],
        vec![9e-31; 32],
        vec![1e-40; 32],
    ];
    let rows = cases.len() as u32;
    let step_case = StepCase { kind: Phase::Prefill, spans: &[(15, 0, 0)], spare: 0 };
    assert_eq!(step_case.active_rows(), rows);
    let (heads, oracle) = (AttentionHeads { query: 1, kv: 1, width: 32 }, Arc::new(Cpu::default()));
    for (name, backend) in [("cpu", oracle as Arc<dyn Backend>)].into_iter().chain(backends()) {
        let op = |case: &Case, p: &Pass| {
            // Query, gate, key, value.
            let row = |value: &Vec<f32>| [&[1.0; 64][..], value, value].concat();
            let x = case.tensor([rows, 128], DType::F32, &cases.iter().flat_map(row).collect::<Vec<_>>());
            record(case, p, step_case, ((heads, 16, DType::Q8Heads), &x));
        };
        let marks = outputs("odd values", &backend, backend.caps(), op);
        let of = |mark: &Output| -> Vec<_> { mark.heads().into_iter().flatten().collect() };
        let (keys, values) = (of(&marks[1]), of(&marks[2]));
        let place = |position: u32| step_case.places().find(|place| place.1 == position).unwrap().2;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by_key(|position| place(*position));
        for ((position, key), value) in order.into_iter().zip(keys).zip(values) {
            let head = &cases[position as usize];
            assert_eq!(value, quantized(head), "{name}: {head:?}");
            let none = head.iter().any(|value| !value.is_finite());
            assert_eq!(value.1 == NAN, none, "{name}: {head:?}");
            // The norm of a head with infinity is NaN, or zero beside the infinity.
            assert!(key.1 == NAN || !none, "{name}: key of {head:?}: scale {}", f32::from_bits(key.1));
        }
    }
}

fn turn(
    case: &Case,
    p: &Pass,
    step_case: StepCase,
    setting: (AttentionHeads, u32, DType),
    range: std::ops::Range<f32>,
) {
    let x = step_case.by_position(case, "x", setting.0.projected(), range);
    record(case, p, step_case, (setting, &x));
}

fn record(
    case: &Case,
    p: &Pass,
    step_case: StepCase,
    ((heads, rotary, dtype), x): ((AttentionHeads, u32, DType), &Tensor),
) {
    let step = step_case.step(case, 10);
    let norm = QkNorm { weights: case.spread("norms", [2, heads.width], DType::F32, -0.2..0.3), eps: 1e-6 };
    let rope = case.tensor([step_case.context(), rotary], DType::F32, &angles(step_case.context(), rotary));
    let mut cache = step_case.pages(case, heads, dtype, -1.0..1.0);
    p.mark("q", &qk_norm_rope(recorder(p, &step), x, &norm, &rope, &mut cache));
    p.mark("keys", &cache.keys);
    p.mark("values", &cache.values);
}

fn angles(context: u32, rotary: u32) -> Vec<f32> {
    let frequency = |j: u32| 1e7f32.powf(-2.0 * j as f32 / rotary as f32);
    let pair = |position: u32, j: u32| {
        let angle = position as f32 * frequency(j);
        [angle.cos(), angle.sin()]
    };
    (0..context).flat_map(|position| (0..rotary / 2).flat_map(move |j| pair(position, j))).collect()
}

/// A row's queries have the same bits at any place and with any other rows in the step.
#[test]
pub fn batch_invariance() {
    const WHOLE: StepCase = StepCase { kind: Phase::Prefill, spans: &[(40, 10, 1)], spare: 0 };
    const CUT: StepCase = StepCase { kind: Phase::Prefill, spans: &[(9, 0, 0), (13, 37, 1)], spare: 3 };
    let heads = AttentionHeads { query: 2, kv: 1, width: 64 };
    for (name, backend) in backends() {
        let run = |step_case| {
            let op = |case: &Case, p: &Pass| turn(case, p, step_case, (heads, 16, DType::F32), -3.0..3.0);
            outputs("batch invariance", &backend, backend.caps(), op).remove(0)
        };
        let (whole, cut) = (run(WHOLE), run(CUT));
        for row in 0..13 {
            assert!(whole.row(27 + row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}
