//! Runs one recording on two backends and compares them after every dispatch, to name the first kernel that differs.
//!
//! Both backends run each dispatch on the same bytes: the reference's outputs replace the tested backend's before the
//! next dispatch. So errors do not accumulate, and a dispatch over its bound is itself wrong.

mod difference;

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{
    compute::{
        backend::Backend,
        caps::DeviceKind,
        dtype::DType,
        kernel::Dispatch,
        memory::{Buffer, BufferId, Resource},
        pass::Pass,
    },
    engine::{LogitRows, Runner},
    error::{Error, Result},
    kernels::operands::step::{Input, Layout, Phase, SequenceId, Work},
    model::{
        Model,
        cache::{PAGE, Plan},
    },
};
pub use difference::Difference;

/// NaN in every element type: the initial contents of scratch memory, which expose missing writes.
const POISON: u32 = 0x7fc0_7fc0;

/// The result of one dispatch in one binding, on both backends.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Index of the dispatch in its recording.
    pub number: usize,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The kernel's name with its defines.
    pub label: String,
    /// The binding's name.
    pub binding: &'static str,
    /// Rows and width of the bound tensor.
    pub shape: [u32; 2],
    /// Element type of the bound tensor.
    pub dtype: DType,
    /// The difference of the tested backend from the reference.
    pub difference: Difference,
}

impl Finding {
    /// The largest error between two correct backends: they sum in different orders and round 16-bit results.
    pub fn bound(&self) -> f64 {
        match self.dtype {
            DType::F32 => 1e-5,
            // A value near the midpoint of two codes may get either code.
            DType::Q8Heads => 8e-3,
            DType::U32 => 0.0,
            _ => 2e-3,
        }
    }

    /// Whether the error exceeds its bound.
    pub fn is_over(&self) -> bool {
        self.difference.error > self.bound()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, label, binding, shape, dtype, difference, .. } = self;
        let Difference { error, at, wanted, found } = difference;
        let place = [*at as u32 / shape[1], *at as u32 % shape[1]];
        let bound = self.bound();
        write!(
            f,
            "dispatch {number}, {label}: {binding} {shape:?} {dtype}: error {error:.1e} of at most {bound:.0e}, worst \
             at {place:?}: {found}, expected {wanted}"
        )
    }
}

/// Runs a recording that binds buffers of `tested` on both backends, one dispatch at a time. Returns the difference in
/// each binding that each dispatch writes. The buffers hold the reference's results afterwards.
///
/// # Errors
/// Those of both backends: [`Error::OutOfMemory`] for the reference's copies of the buffers, [`Error::Shader`],
/// [`Error::Device`].
pub fn pass(reference: &Arc<dyn Backend>, tested: &Arc<dyn Backend>, pass: Pass) -> Result<Vec<Finding>> {
    let recorded = pass.finish().on_buffers(|bytes| poisoned(tested, bytes))?;
    let (mut copies, mut findings) = (Copies { reference, known: HashMap::new() }, Vec::new());
    for (number, dispatch) in recorded.dispatches.iter().enumerate() {
        let copy = copies.of(dispatch)?;
        run(reference, &copy)?;
        run(tested, dispatch)?;
        for (at, binding) in dispatch.kernel.bindings.iter().enumerate().filter(|(_, binding)| binding.access.writes())
        {
            let (shape, dtype) = (dispatch.shapes[at], dispatch.elements[at]);
            let [wanted, found] = [&copy, dispatch].map(|side| contents(side.resources[at].buffer()));
            let (wanted, found) = (wanted?, found?);
            dispatch.resources[at].buffer().write(0, &wanted)?;
            let bytes = dtype.size(shape) as usize;
            let difference = Difference::between((dtype, shape), &wanted[..bytes], &found[..bytes]);
            let (kernel, label) = (dispatch.kernel.name, dispatch.label());
            findings.push(Finding { number, kernel, label, binding: binding.name, shape, dtype, difference });
        }
    }
    Ok(findings)
}

/// Compares a model's forward pass and greedy choice on `reference` and on the model's own backend: first a prefill of
/// all `ids` but the last, then a decode step of the last. The cache holds keys and values as `kv`. Returns the
/// findings of the prefill and of the decode step.
///
/// # Errors
/// [`Error::Request`] for fewer than two ids or an id outside the vocabulary, and those of [`pass`].
pub fn model(reference: &Arc<dyn Backend>, model: &Arc<Model>, ids: &[u32], kv: DType) -> Result<[Vec<Finding>; 2]> {
    let vocabulary = model.config.vocabulary;
    let Some((last, prompt)) = ids.split_last().filter(|(_, prompt)| !prompt.is_empty()) else {
        return Err(Error::Request(format!("a prefill and a decode step need at least two ids, found {}", ids.len())));
    };
    if let Some(id) = ids.iter().find(|id| **id >= vocabulary) {
        return Err(Error::Request(format!("token id {id} is not below the vocabulary of {vocabulary}")));
    }
    let context = (ids.len() as u32).next_multiple_of(PAGE);
    let plan = Plan { context, pages: context / PAGE, slots: 1, kv };
    let mut runner = Runner::new(model.clone(), plan)?;
    runner.assign_all()?;
    // Plain loops run dispatches of every tiling; shaders run only their own backend's.
    if model.backend.caps().kind == DeviceKind::Cpu {
        runner.caps = reference.caps().clone();
    }
    let work = |phase, range| Work::new(SequenceId::new(0), phase, range).with_last_output();
    let prefill = step(&mut runner, &work(Phase::Prefill, 0..prompt.len()), prompt)?;
    let prefill = pass(reference, &model.backend, prefill)?;
    let decode = step(&mut runner, &work(Phase::Decode, prompt.len()..ids.len()), &[*last])?;
    Ok([prefill, pass(reference, &model.backend, decode)?])
}

/// Records a step of one sequence, with a greedy choice for its outputs.
fn step(runner: &mut Runner, work: &Work, tokens: &[u32]) -> Result<Pass> {
    let step = runner.step(work.phase, Layout { rows: tokens.len() as u32, sequences: 1, outputs: 1 })?;
    step.write(&[Input { work, tokens, slot: 0 }])?;
    let mut recording = runner.record(step, LogitRows::Outputs)?;
    recording.choose(runner.model())?;
    Ok(recording.pass)
}

/// The reference's copies of all buffers that a recording binds.
struct Copies<'a> {
    reference: &'a Arc<dyn Backend>,
    known: HashMap<BufferId, Resource>,
}

impl Copies<'_> {
    /// The same dispatch on copies of its buffers. The first use of a buffer copies it; afterwards both stay identical.
    fn of(&mut self, dispatch: &Dispatch) -> Result<Dispatch> {
        let resources = dispatch.resources.iter().map(|resource| {
            let original = resource.buffer();
            if let Some(copy) = self.known.get(&original.id()) {
                return Ok(copy.clone());
            }
            let copy = Buffer::new(self.reference, original.bytes(), "reference copy")?;
            copy.write(0, &contents(original)?)?;
            Ok(self.known.entry(original.id()).or_insert(Resource::Buffer(copy)).clone())
        });
        Ok(Dispatch { resources: resources.collect::<Result<_>>()?, ..dispatch.clone() })
    }
}

fn poisoned(backend: &Arc<dyn Backend>, bytes: u64) -> Result<Arc<Buffer>> {
    let buffer = Buffer::new(backend, bytes, "scratch to compare")?;
    buffer.write(0, bytemuck::cast_slice(&vec![POISON; buffer.bytes() as usize / 4]))?;
    Ok(buffer)
}

fn run(backend: &Arc<dyn Backend>, dispatch: &Dispatch) -> Result<()> {
    backend.run(&backend.load(Pass::replay(backend.caps(), std::slice::from_ref(dispatch)))?)
}

fn contents(buffer: &Buffer) -> Result<Vec<u8>> {
    pollster::block_on(buffer.read(0..buffer.bytes()))
}
