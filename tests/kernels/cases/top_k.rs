use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{operands::step::Phase, top_k::top_k},
};

use crate::{
    harness::{Case, Output, Random, backends, outputs},
    step_cases::*,
};

const ROWS: StepCase =
    StepCase { kind: Phase::Decode, spans: &[(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 0, 3), (1, 0, 4)], spare: 2 };

#[test]
pub fn cases() {
    for (step_case, width, limit, count) in [
        (DECODES[0], 1, 1, 1),
        (DECODES[0], 1, 1, 20),
        (DECODES[1], 63, 60, 40),
        (DECODES[1], 40, 40, 40),
        (DECODES[2], 1000, 990, 64),
        (ROWS, 4097, 4097, 1),
        (ROWS, 4097, 4096, 256),
    ] {
        same(&format!("top_k {count} of {width} below {limit}"), |case, p| {
            let logits = case.spread("logits", [step_case.capacity(), width], DType::F32, -20.0..20.0);
            choose(case, p, (step_case, limit, count), &logits);
        });
    }
}

fn choose(case: &Case, p: &Pass, (step_case, limit, count): (StepCase, u32, u32), logits: &Tensor) {
    let mut ids = case.poisoned([logits.rows(), count], DType::U32);
    let mut values = case.poisoned([logits.rows(), count], DType::F32);
    top_k(recorder(p, &step_case.step(case, 10)), logits, limit, &mut ids, &mut values);
    p.mark("ids", &ids);
    p.mark("values", &values);
}

/// Equal logits, signed zeros, infinities and NaN.
#[test]
pub fn odd_values() {
    const WIDTH: u32 = 1000;
    same("top_k of odd values", |case, p| {
        let mut random = Random::new("logits");
        let mut rows = vec![[0.0; WIDTH as usize]; ROWS.capacity() as usize];
        rows[0].fill_with(|| random.within(&(-2.0..3.0)).floor());
        rows[1].fill(1.0);
        rows[2].fill(f32::NEG_INFINITY);
        rows[2][995] = 3.0;
        rows[3].fill_with(|| random.within(&(-20.0..20.0)));
        (rows[3][517], rows[3][3], rows[3][4]) = (-f32::NAN, f32::NAN, f32::INFINITY);
        rows[4].fill(-0.0);
        (rows[4][5], rows[4][100]) = (0.0, -f32::MAX);
        let logits = case.tensor([ROWS.capacity(), WIDTH], DType::F32, rows.as_flattened());
        choose(case, p, (ROWS, 990, 50), &logits);
    });
}

/// The order of candidates is free; the set of candidates and their bits are not.
fn same(label: &str, op: impl Fn(&Case, &Pass)) {
    let oracle =
        std::sync::Arc::new(bimetal::low_level::compute::cpu::Cpu::default()) as std::sync::Arc<dyn bimetal::Backend>;
    for (name, backend) in backends() {
        let wanted = outputs(label, &oracle, backend.caps(), &op);
        let got = outputs(label, &backend, backend.caps(), &op);
        for row in 0..wanted[0].shape[0] {
            assert_eq!(candidates(&wanted, row), candidates(&got, row), "{label} on {name}, row {row}");
        }
        println!("{label}: {name} against cpu: the same");
    }
}

fn candidates(outputs: &[Output], row: u32) -> Vec<(u32, u32)> {
    let mut pairs: Vec<_> = outputs[0].row(row).iter().copied().zip(outputs[1].row(row).iter().copied()).collect();
    pairs.sort_unstable();
    pairs
}
