//! A model with its caches, run step by step: steps of any shape, all logits, every layer's residual stream.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bimetal::{
    Backend, Checkpoint, Model, SequenceId,
    low_level::{
        compute::{dtype::DType, kernel::Dispatch, memory::Buffer, pass::Pass, tensor::Tensor},
        engine::{LogitRows, Runner},
        kernels::operands::{
            caches::State,
            step::{Input, Layout, Phase, Work},
        },
        model::{
            Weights,
            cache::{PAGE, Plan},
            qwen3_5,
            weights::Source,
        },
    },
};

/// The types of activations, weights and the cache.
#[derive(Clone, Copy, Debug)]
pub struct Precision {
    pub kv: DType,
    pub inputs: DType,
    pub quant: Option<DType>,
}

pub const FULL: Precision = Precision { kv: DType::F32, inputs: DType::F32, quant: None };
pub const HALF: Precision = Precision { kv: DType::F16, inputs: DType::F16, quant: None };

pub struct Harness {
    pub backend: Arc<dyn Backend>,
    pub runner: Runner,
}

/// Logits of all requested rows, and marked tensors by name.
pub struct Output {
    pub logits: Vec<Vec<f32>>,
    pub marks: BTreeMap<String, Vec<f32>>,
    /// The dispatches, in a run without marked layers.
    pub dispatches: Vec<Dispatch>,
}

/// The slot of the only sequence: not the first, so that a kernel that ignores slots fails.
pub const SLOT: u32 = 1;

impl Harness {
    pub fn new(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, precision: Precision, context: u32) -> Self {
        let source = Source::Checkpoint(checkpoint);
        let types = bimetal::Precision { activations: Some(precision.inputs), weights: precision.quant };
        let model = Model::load(backend, &source, types, &mut |_, _| {}).unwrap();
        let width = context.div_ceil(PAGE);
        let plan = Plan { context, pages: 2 * width, slots: 2, kv: precision.kv };
        let runner = Runner::new(Arc::new(model), plan).unwrap();
        // Pages in descending order, so that a kernel that ignores the table fails.
        let table: Vec<u32> = (0..2 * width).rev().collect();
        (0..).zip(table.chunks(width as usize)).for_each(|(slot, pages)| runner.assign(slot, pages).unwrap());
        Self { backend: backend.clone(), runner }
    }

    /// Computes `ids` at `position` in one phase, with logits for every row.
    pub fn run(&mut self, phase: Phase, ids: &[u32], position: u32, look: Look) -> Output {
        let range = position as usize..position as usize + ids.len();
        let work = Work::new(SequenceId::new(0), phase, range).with_outputs(0..ids.len());
        self.compute(&work, ids, look)
    }

    /// Computes `ids`, with logits for every output of the work.
    pub fn compute(&mut self, work: &Work, ids: &[u32], look: Look) -> Output {
        let (rows, outputs) = (ids.len() as u32, work.outputs.len() as u32);
        let layout = Layout { rows, sequences: rows, outputs };
        let step = self.runner.step(work.phase, layout).unwrap();
        step.write(&[Input { work, tokens: ids, slot: SLOT }]).unwrap();
        let recording = self.runner.record(step, LogitRows::Outputs).unwrap();
        let (p, logits) = (recording.pass, recording.logits);
        let mut dispatches = Vec::new();
        let marks = match look {
            Look::Logits => {
                let program = self.backend.load(p).unwrap();
                self.backend.run(&program).unwrap();
                dispatches = program.dispatches;
                BTreeMap::new()
            }
            Look::Layers => self.layers(p),
        };
        let values = floats(&logits);
        Output { logits: values.chunks(logits.width() as usize).map(<[f32]>::to_vec).collect(), marks, dispatches }
    }

    /// Runs a recording dispatch by dispatch, and reads the marked tensors.
    fn layers(&self, p: Pass) -> BTreeMap<String, Vec<f32>> {
        let recorded = p.finish().on_buffers(|bytes| Buffer::new(&self.backend, bytes, "trace")).unwrap();
        let mut found = BTreeMap::new();
        for at in 0..=recorded.dispatches.len() {
            for mark in recorded.marks.iter().filter(|mark| mark.after == at) {
                let bytes = pollster::block_on(mark.read()).unwrap();
                found.insert(mark.name.clone(), singles(&bytes, mark.dtype));
            }
            if let Some(dispatch) = recorded.dispatches.get(at..=at).filter(|one| !one.is_empty()) {
                let one = Pass::replay(self.backend.caps(), dispatch);
                self.backend.run(&self.backend.load(one).unwrap()).unwrap();
            }
        }
        found
    }

    /// One layer's cache of the first `tokens` tokens, in the reference's layout: (name, values).
    pub fn layer(&self, layer: usize, tokens: u32) -> Vec<(&'static str, Vec<f32>)> {
        match &self.runner.cache().layers[layer] {
            State::KvPages(pages) => [("key", &pages.keys), ("value", &pages.values)]
                .map(|(name, tensor)| (name, self.by_head(tensor, tokens)))
                .into(),
            State::Slots(slots) => {
                let state = of_slot(&slots.state);
                let (conv_state, channels) = (of_slot(&slots.conv_state), slots.heads.channels() as usize);
                let position = |back: u32| tokens.checked_sub(back).map(|p| p as usize % 4 * channels);
                let column =
                    |channel: usize| [3, 2, 1].map(|back| position(back).map_or(0.0, |row| conv_state[row + channel]));
                vec![("conv_state", (0..channels).flat_map(column).collect()), ("recurrent_state", state)]
            }
        }
    }

    /// Pages of \[T, Hkv·D\], joined in order and transposed to \[Hkv, T, D\].
    fn by_head(&self, tensor: &Tensor, tokens: u32) -> Vec<f32> {
        let (values, config) = (floats(tensor), &self.runner.model().config);
        let width = self.runner.plan().context.div_ceil(PAGE);
        let place = |t: u32| (2 * width - 1 - (SLOT * width + t / PAGE)) * PAGE + t % PAGE;
        let (heads, head) = (config.kv_heads as usize, config.head_dim as usize);
        let values = &values;
        let row = |h: usize, t: u32| {
            let at = (place(t) as usize * heads + h) * head;
            values[at..at + head].iter().copied()
        };
        (0..heads).flat_map(|h| (0..tokens).flat_map(move |t| row(h, t))).collect()
    }
}

/// The weights of a model.
pub fn weights(model: &Model) -> &qwen3_5::Weights {
    let Weights::Qwen3_5(weights) = &model.weights;
    weights
}

/// The outputs to read from a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Logits,
    Layers,
}

fn of_slot(tensor: &Tensor) -> Vec<f32> {
    let width = tensor.width() as usize;
    floats(tensor)[SLOT as usize * width..][..width].to_vec()
}

pub fn floats(tensor: &Tensor) -> Vec<f32> {
    let all = 0..u64::from(tensor.rows()) * u64::from(tensor.width());
    let bytes = pollster::block_on(tensor.read(all)).unwrap();
    singles(&bytes, tensor.dtype())
}

fn singles(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F16 => bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        _ => bytemuck::allocation::pod_collect_to_vec(bytes),
    }
}

/// The tensors of a reference file.
pub struct Reference {
    pub floats: BTreeMap<String, Vec<f32>>,
    pub ids: BTreeMap<String, Vec<u32>>,
}

impl Reference {
    pub fn open(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (mut floats, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in tensors.iter() {
            if view.dtype() == safetensors::Dtype::I64 {
                let words = view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32);
                ids.insert(name.to_string(), words.collect());
            } else {
                floats.insert(name.to_string(), bytemuck::allocation::pod_collect_to_vec(view.data()));
            }
        }
        Self { floats, ids }
    }
}

/// The maximum difference; NaN counts as infinite.
pub fn largest_error(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len(), "lengths");
    let error = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    got.iter().zip(want).map(error).fold(0.0, f32::max)
}
