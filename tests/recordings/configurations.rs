//! The recorded configurations: models and devices in all precisions, and the steps of an engine on each.

use std::sync::Arc;

use bimetal::{
    Backend, Checkpoint, Engine, EngineOptions, GeneratorOptions, Model, Precision, Request, Sampling,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cpu::Cpu,
            dtype::DType,
        },
        engine::{AtEnd, sampler::Mode},
        model::{built_in, config::Config, weights::Source},
    },
};

use crate::recorder::{ProgramRun, Recorder};

/// Default tokens per step: enough rows that quantized weights are dequantized to f16 first.
const BUDGET: u32 = 512;

/// Prompt tokens beyond the budget: a second chunk.
const SECOND_CHUNK: usize = 52;

/// A model on a device, in one precision.
pub struct Configuration {
    /// Model, device, activations, weights, and special properties.
    pub name: String,
    /// The capabilities of the device.
    pub caps: Caps,
    shape: Shape,
    setup: GeneratorOptions,
}

#[derive(Clone, Copy)]
enum Shape {
    BuiltIn,
    Named(&'static str),
    /// A file with weights in many GGML formats.
    Gguf,
}

/// Requests that run together, and the names of the recorded steps.
struct Scenario {
    prompts: Vec<usize>,
    sampling: Sampling,
    steps: &'static [&'static str],
}

/// Every configuration, in order.
pub fn all() -> Vec<Configuration> {
    let mut all = Vec::new();
    for (model, shape) in [("built-in", Shape::BuiltIn), ("0.8b", Shape::Named("0.8b"))] {
        for (device, caps) in devices() {
            for inputs in [DType::F16, DType::F32] {
                for quant in [None, Some(DType::Q8), Some(DType::Q4)] {
                    let weights = quant.map_or("as-is".into(), |quant| quant.to_string());
                    let name = format!("{model}/{device}/{inputs}/{weights}");
                    all.push(Configuration { name, caps: caps.clone(), shape, setup: setup(inputs, quant) });
                }
            }
        }
    }
    all.extend(special());
    all
}

fn setup(inputs: DType, quant: Option<DType>) -> GeneratorOptions {
    let engine = EngineOptions {
        context: Some(1024),
        budget: Some(BUDGET),
        sequences: 8,
        snapshots: 1,
        kv: DType::F16,
        memory: None,
    };
    GeneratorOptions { precision: Precision { activations: Some(inputs), weights: quant }, engine }
}

/// Devices by name; none is this machine's own.
fn devices() -> [(&'static str, Caps); 6] {
    let discrete = Caps::typical("wgpu", DeviceKind::Discrete);
    [
        ("discrete", Caps { matrix_units: None, packed_dots: false, ..discrete.clone() }),
        ("discrete-matrix-packed", Caps { matrix_units: Some(16), packed_dots: true, ..discrete }),
        ("integrated", Caps::typical("wgpu", DeviceKind::Integrated)),
        ("apple", Caps::apple()),
        ("software", Caps::typical("wgpu", DeviceKind::Software)),
        ("cpu", Caps { memory: None, ..Cpu::new(1).caps().clone() }),
    ]
}

/// Configurations with one special property each.
fn special() -> Vec<Configuration> {
    let mut all = Vec::new();
    let [_, (_, discrete), _, (_, apple), _, (_, cpu)] = devices();
    let usual = setup(DType::F16, None);
    let engine = usual.engine;
    let mut add = |name: &str, caps: &Caps, shape, setup| {
        all.push(Configuration { name: name.into(), caps: caps.clone(), shape, setup });
    };
    let small = Shape::Named("0.8b");
    for (device, caps) in [("discrete-matrix-packed", &discrete), ("apple", &apple), ("cpu", &cpu)] {
        for (kv, word) in [(DType::Q8Heads, "q8"), (DType::F32, "f32")] {
            let setup = GeneratorOptions { engine: EngineOptions { kv, ..engine }, ..usual };
            add(&format!("0.8b/{device}/f16/as-is/kv-{word}"), caps, small, setup);
        }
        let setup = GeneratorOptions {
            engine: EngineOptions { budget: Some(128), ..engine },
            precision: Precision { weights: Some(DType::Q4), ..usual.precision },
        };
        add(&format!("0.8b/{device}/f16/q4/budget-128"), caps, small, setup);
        let setup =
            GeneratorOptions { engine: EngineOptions { context: Some(512), budget: Some(256), ..engine }, ..usual };
        add(&format!("gguf/{device}/f16/as-is"), caps, Shape::Gguf, setup);
        add(&format!("9b/{device}/f16/as-is/untied"), caps, Shape::Named("9b"), usual);
    }
    let parts = Caps { max_binding: 64 << 20, ..discrete };
    add("0.8b/discrete-matrix-packed/f16/as-is/matrices-in-parts", &parts, small, usual);
    all
}

impl Configuration {
    /// Runs all scenarios, and passes each program with its name to `note`.
    pub fn play(&self, note: &mut dyn FnMut(&str, ProgramRun)) {
        match self.shape {
            Shape::BuiltIn => self.play_on(&Source::Checkpoint(&built_in::open().unwrap()), note),
            Shape::Named(name) => self.play_on(&Source::Random(&Config::named(name).unwrap()), note),
            Shape::Gguf => {
                let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gguf/mixed.gguf");
                self.play_on(&Source::Checkpoint(&Checkpoint::open(file.as_ref()).unwrap()), note);
            }
        }
    }

    fn play_on(&self, source: &Source<'_>, note: &mut dyn FnMut(&str, ProgramRun)) {
        let recorder = Arc::new(Recorder::new(self.caps.clone()));
        let backend: Arc<dyn Backend> = recorder.clone();
        let source = Source::Shapes(source);
        let model = Model::load(&backend, &source, self.setup.precision, &mut |_, _| {}).unwrap();
        let mut engine = Engine::new(Arc::new(model), self.setup.engine).unwrap();
        for Scenario { prompts, sampling, steps } in self.scenarios() {
            let requests = prompts.iter().map(|&length| self.request(&engine, length, &sampling));
            let requests: Vec<_> = requests.collect();
            let ids: Vec<_> = requests.into_iter().map(|request| engine.add(request).unwrap()).collect();
            for step in steps {
                recorder.take();
                if *step == "snapshot" {
                    assert!(engine.snapshot(ids[0]).unwrap(), "{}: no room for a snapshot", self.name);
                } else {
                    engine.step().unwrap();
                }
                for (number, run) in (1..).zip(recorder.take()) {
                    note(&format!("{}/{step}.{number}", self.name), run);
                }
            }
            while !engine.is_idle() {
                engine.step().unwrap();
            }
        }
    }

    /// The second program of a decode step is the next step, which a GPU starts ahead.
    fn scenarios(&self) -> [Scenario; 3] {
        let chunks = vec![self.setup.engine.budget.unwrap() as usize + SECOND_CHUNK];
        let seeded = Sampling { seed: Some(1), ..Sampling::model_card(Mode::Direct) };
        let steps: [&[&str]; 3] = [
            &["prefill-first", "prefill-next", "decode-1", "snapshot"],
            &["prefill-8", "decode-8"],
            &["prefill-sampled", "decode-sampled"],
        ];
        [
            Scenario { prompts: chunks, sampling: Sampling::greedy(), steps: steps[0] },
            Scenario { prompts: (2..10).collect(), sampling: Sampling::greedy(), steps: steps[1] },
            Scenario { prompts: vec![60], sampling: seeded, steps: steps[2] },
        ]
    }

    fn request(&self, engine: &Engine, length: usize, sampling: &Sampling) -> Request {
        let vocabulary = engine.model().vocabulary;
        let prompt = (0..length as u32).map(|at| at.wrapping_mul(7919) % vocabulary).collect();
        Request { prompt, sampling: sampling.clone(), max_tokens: 6, stop: Default::default(), at_end: AtEnd::Free }
    }
}
