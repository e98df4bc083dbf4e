//! Programs in several submissions: their number follows the time, and the results stay the same.

use std::{sync::Arc, time::Duration};

use bimetal::{
    Backend,
    low_level::compute::{
        caps::DeviceKind,
        cpu::Cpu,
        pass::{Pass, Program},
        tensor::Tensor,
        wgpu::{Adapter, Restrict, Wgpu},
    },
};

use super::{kernels::shift, tensor, values};

const DISPATCHES: usize = 60;

fn open(adapter: &Adapter, submission: Option<Duration>) -> Arc<Wgpu> {
    let restrict = Restrict::default();
    Arc::new(Wgpu::open(adapter, submission.map_or(restrict, |length| restrict.submission(length))).unwrap())
}

/// Dispatches that each depend on the one before, on their own buffers.
fn chain(backend: &Arc<dyn Backend>) -> (Tensor, Program) {
    let first: Vec<f32> = (0..1000_u16).map(f32::from).collect();
    let (mut x, mut y) = (tensor(backend, &first), tensor(backend, &[0.0; 1000]));
    let p = Pass::new(backend.caps());
    for round in 0..DISPATCHES as u32 / 2 {
        shift(&p, &x, &mut y, 37 + round % 7);
        shift(&p, &y, &mut x, 500);
    }
    (x, backend.load(p).unwrap())
}

/// Submissions per run, with a wait of the host after each run.
fn submissions(wgpu: &Wgpu, program: &Program, runs: usize) -> Vec<u64> {
    let run = |_| {
        let before = wgpu.submissions();
        wgpu.run(program).unwrap();
        let after = wgpu.submissions();
        wgpu.wait().unwrap();
        after - before
    };
    (0..runs).map(run).collect()
}

#[test]
fn submissions_give_what_the_whole_gives() {
    const RUNS: usize = 5;
    let cpu: Arc<dyn Backend> = Arc::new(Cpu::default());
    let (expected, program) = chain(&cpu);
    (0..RUNS).for_each(|_| cpu.run(&program).unwrap());
    for adapter in Wgpu::adapters() {
        for length in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(100)] {
            let wgpu = open(&adapter, Some(length));
            let backend: Arc<dyn Backend> = wgpu.clone();
            let (x, program) = chain(&backend);
            let counts = submissions(&wgpu, &program, RUNS);
            println!("{}: {length:?}: {counts:?} submissions", adapter.caps().device);
            assert!(values(&x) == values(&expected), "{length:?}");
            if length.is_zero() {
                assert_eq!(counts, [DISPATCHES as u64; RUNS]);
            }
            if length == Duration::from_nanos(1) {
                assert!(counts[1..].iter().all(|count| *count > DISPATCHES as u64 / 4), "{counts:?}");
            }
        }
    }
}

#[test]
fn one_submission_where_one_suffices() {
    for adapter in Wgpu::adapters() {
        let wgpu = open(&adapter, Some(Duration::from_secs(60)));
        let backend: Arc<dyn Backend> = wgpu.clone();
        let (_x, program) = chain(&backend);
        let counts = submissions(&wgpu, &program, 40);
        let cautious = !matches!(adapter.caps().kind, DeviceKind::Discrete);
        assert_eq!(counts[0], if cautious { 8 } else { 1 });
        assert_eq!(counts[1..], [1; 39]);
    }
}

/// Without waits between runs, measurements arrive late or never.
#[test]
fn runs_that_follow_each_other_closely_stay_in_order() {
    for adapter in Wgpu::adapters() {
        let backend: Arc<dyn Backend> = open(&adapter, Some(Duration::from_micros(50)));
        let cpu: Arc<dyn Backend> = Arc::new(Cpu::default());
        let results = [backend, cpu].map(|backend| {
            let (x, program) = chain(&backend);
            (0..50).for_each(|_| backend.run(&program).unwrap());
            values(&x)
        });
        assert!(results[0] == results[1]);
    }
}
