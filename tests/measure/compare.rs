//! Comparing backends dispatch by dispatch: equal results pass, and a kernel with other results is named.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bimetal::{
    Backend, Error, Model, Result,
    low_level::{
        compute::{
            caps::Caps,
            cpu::Cpu,
            dtype::DType,
            kernel::{Dispatch, Group, Kernel, Source as Text},
            memory::{BufferId, Memory, Pending},
            pass::{Pass, Program},
        },
        kernels::silu_mul,
        model::weights::Source,
    },
    measure::backend_diff::{self, Finding},
};

use crate::support::{backends::backends, fixtures::checkpoint};

/// A prompt and one more token.
const IDS: u32 = 66;

fn model(backend: &Arc<dyn Backend>, inputs: DType) -> Arc<Model> {
    Arc::new(Model::load(backend, &Source::Checkpoint(&checkpoint("tiny-f32")), inputs, &mut |_, _| {}).unwrap())
}

fn compared(backend: &Arc<dyn Backend>, precision: DType, kv: DType) -> [Vec<Finding>; 2] {
    let reference: Arc<dyn Backend> = Arc::new(Cpu::new(1));
    let ids: Vec<u32> = (0..IDS).map(|i| i * 97 % 512).collect();
    backend_diff::model(&reference, &model(backend, precision), &ids, kv).unwrap()
}

#[test]
fn every_dispatch_of_every_backend_is_within_its_bound() {
    for (name, backend) in backends() {
        for (precision, kv) in [(DType::F32, DType::F32), (DType::F16, DType::F16), (DType::F16, DType::Q8Heads)] {
            for (phase, findings) in ["prompt", "decode"].into_iter().zip(compared(&backend, precision, kv)) {
                // At least one result per dispatch of 8 layers: 11 dispatches in a prompt, 5 or 7 in a decode step.
                let min_findings = if phase == "prompt" { 88 } else { 40 };
                assert!(findings.len() > min_findings, "{name}: {phase}: {} results", findings.len());
                let over: Vec<_> =
                    findings.iter().filter(|finding| finding.is_over()).map(Finding::to_string).collect();
                assert!(over.is_empty(), "{name}: {phase} in {precision}: {over:#?}");
                let largest = findings.iter().map(|finding| finding.difference.error).fold(0.0, f64::max);
                println!("{name}: {phase} in {precision}: {} results, largest error {largest:.1e}", findings.len());
            }
        }
    }
}

#[test]
fn the_plain_loops_can_be_tested_against_a_shader_too() {
    let host: Arc<dyn Backend> = Arc::new(Cpu::default());
    for (name, backend) in backends() {
        let findings =
            backend_diff::model(&backend, &model(&host, DType::F32), &[7, 8, 9], DType::F32).unwrap().concat();
        assert!(findings.iter().all(|finding| !finding.is_over()), "{name}");
    }
}

#[test]
fn a_wrong_sign_is_named_by_its_dispatch_and_by_no_other() {
    for (name, backend) in backends() {
        let faulty = faulty(backend, |dispatches| {
            let wrong = dispatches.iter_mut().filter(|dispatch| dispatch.kernel.name == "silu_mul");
            wrong.for_each(|dispatch| dispatch.kernel = sabotaged());
        });
        let [prompt, decode] = compared(&faulty, DType::F32, DType::F32);
        let (right, wrong): (Vec<_>, Vec<_>) = prompt.iter().partition(|finding| finding.kernel != "silu_mul");
        assert_eq!(wrong.len(), 8, "{name}: one for each layer");
        // A decode step gates its MLPs with another kernel.
        let mut right = right.into_iter().chain(&decode);
        assert!(right.all(|finding| !finding.is_over()), "{name}: an innocent kernel is accused");
        assert!(wrong.iter().all(|finding| finding.is_over()), "{name}: the culprit goes free");
        let first = wrong[0];
        println!("{name}: {first}");
        assert_eq!((first.binding, first.dtype, first.shape[1]), ("y", DType::F32, 160), "{name}");
        let bound = 1e-5 * first.difference.wanted.abs();
        assert!((first.difference.wanted + first.difference.found).abs() <= bound, "{name}: {first}");
        // A wrong sign doubles the error of the largest reference value.
        assert!((first.difference.error - 2.0).abs() < 1e-4, "{name}: {first}");
        assert!(first.label.starts_with("silu_mul[WIDTH=160 "), "{name}: {first}");
    }
}

#[test]
fn a_result_that_is_not_written_is_found() {
    for (name, backend) in backends() {
        let backend = faulty(backend, |dispatches| dispatches.retain(|dispatch| dispatch.kernel.name != "rms_norm"));
        let [findings, _] = compared(&backend, DType::F32, DType::F32);
        let first = findings.iter().find(|finding| finding.is_over()).unwrap();
        println!("{name}: {first}");
        assert_eq!((first.kernel, first.difference.error), ("rms_norm", f64::INFINITY), "{name}");
        assert!(first.difference.found.is_nan(), "{name}");
    }
}

#[test]
fn ids_that_make_no_prompt_and_step_are_refused() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let model = model(&backend, DType::F32);
    for (ids, expected) in [(&[][..], "found 0"), (&[1], "found 1"), (&[1, 512], "token id 512")] {
        let Err(Error::Request(what)) = backend_diff::model(&backend, &model, ids, DType::F32) else {
            panic!("{ids:?}")
        };
        assert!(what.contains(expected), "{what}");
    }
}

/// A copy of `silu_mul` with a wrong sign in its plain loop and in its shader.
fn sabotaged() -> &'static Kernel {
    static COPY: OnceLock<Kernel> = OnceLock::new();
    COPY.get_or_init(|| {
        let Kernel { name, bindings, params, library, lanes, source, cost, .. } = silu_mul::KERNEL;
        let wgsl = source.wgsl.replace("pack_y(silu(gate) * up)", "pack_y(-silu(gate) * up)");
        assert_ne!(wgsl, source.wgsl);
        let msl = source.msl.unwrap().replace("(silu(gate) * up)", "(-silu(gate) * up)");
        assert_ne!(Some(&*msl), source.msl);
        let source = Text { msl: Some(msl.leak()), ..Text::wgsl(wgsl.leak()) };
        Kernel { name, bindings, params, library, lanes, source, cpu: negated, cost }
    })
}

fn negated(g: &Group<'_>) {
    (silu_mul::KERNEL.cpu)(g);
    let (width, portion) = (g.define("WIDTH"), 4 * silu_mul::KERNEL.lanes as usize);
    let (row, first) = (g.at(1) * g.define("WIDTH"), g.at(0) * portion);
    let range = row + first..row + (first + portion).min(width);
    let values: Vec<f32> = g.floats("y", range.clone()).to_vec().iter().map(|value| -value).collect();
    g.store("y", range.start, &values);
}

/// A device that changes the given dispatches.
struct Faulty {
    device: Arc<dyn Backend>,
    fault: fn(&mut Vec<Dispatch>),
}

fn faulty(device: Arc<dyn Backend>, fault: fn(&mut Vec<Dispatch>)) -> Arc<dyn Backend> {
    Arc::new(Faulty { device, fault })
}

impl Memory for Faulty {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.device.alloc(bytes, label)
    }

    fn free(&self, id: BufferId) {
        self.device.free(id);
    }

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.device.write(id, at, data)
    }

    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        self.device.read(id, range)
    }
}

impl Backend for Faulty {
    fn caps(&self) -> &Caps {
        self.device.caps()
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let mut dispatches = pass.finish().dispatches;
        (self.fault)(&mut dispatches);
        self.device.load(Pass::replay(self.caps(), &dispatches))
    }

    fn run(&self, program: &Program) -> Result<()> {
        self.device.run(program)
    }

    fn wait(&self) -> Result<()> {
        self.device.wait()
    }
}
