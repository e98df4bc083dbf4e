//! One recording on two backends, compared after every launch: names the first kernel that computes something else.
//!
//! Both backends run each launch from the same bytes: before the next one, what the reference wrote replaces what the
//! tested backend wrote. So errors do not pile up, and a launch that is over its bound is itself at fault.

mod difference;

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{
    compute::{
        backend::Backend,
        caps::DeviceKind,
        dtype::DType,
        kernel::Dispatch,
        memory::{Buffer, BufferId, Slot},
        pass::Pass,
    },
    engine::{LogitRows, Runner},
    error::{Error, Result},
    kernels::operands::step::{Input, Layout, Phase, SequenceId, Work},
    model::{
        Model,
        cache::{BLOCK, Plan},
    },
};
pub use difference::Difference;

/// NaN in every element type: what scratch memory holds at first, so that a result that is not written shows.
const POISON: u32 = 0x7fc0_7fc0;

/// What one launch left in one binding, on both backends.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The launch's place in its recording.
    pub launch: usize,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The kernel's name with its defines.
    pub label: String,
    /// The binding's name.
    pub binding: &'static str,
    /// Rows and width of the bound tensor.
    pub shape: [u32; 2],
    /// Type of its elements.
    pub dtype: DType,
    /// How far the tested backend is from the reference.
    pub difference: Difference,
}

impl Finding {
    /// The largest error that two correct backends may show: sums run in different orders, 16-bit results round.
    pub fn bound(&self) -> f64 {
        match self.dtype {
            DType::F32 => 1e-5,
            // A value next to the middle between two codes may get either.
            DType::Q8Heads => 8e-3,
            DType::U32 => 0.0,
            _ => 2e-3,
        }
    }

    /// Whether the two backends differ by more than they may.
    pub fn is_over(&self) -> bool {
        self.difference.error > self.bound()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { launch, label, binding, shape, dtype, difference, .. } = self;
        let Difference { error, at, wanted, found } = difference;
        let place = [*at as u32 / shape[1], *at as u32 % shape[1]];
        let bound = self.bound();
        write!(
            f,
            "launch {launch}, {label}: {binding} {shape:?} {dtype}: error {error:.1e} of at most {bound:.0e}, worst at \
             {place:?}: {found}, expected {wanted}"
        )
    }
}

/// Runs a recording that binds buffers of `tested` on both backends, launch by launch, and returns what each launch left
/// in each binding that it writes. The buffers hold the reference's results afterwards.
///
/// # Errors
/// Those of either backend: [`Error::OutOfMemory`] for the reference's copy of the buffers, [`Error::Shader`],
/// [`Error::Device`].
pub fn pass(reference: &Arc<dyn Backend>, tested: &Arc<dyn Backend>, pass: Pass) -> Result<Vec<Finding>> {
    let recorded = pass.finish().on_buffers(|bytes| poisoned(tested, bytes))?;
    let (mut copies, mut findings) = (Copies { reference, known: HashMap::new() }, Vec::new());
    for (launch, dispatch) in recorded.dispatches.iter().enumerate() {
        let copy = copies.of(dispatch)?;
        run(reference, &copy)?;
        run(tested, dispatch)?;
        for (at, binding) in dispatch.kernel.bindings.iter().enumerate().filter(|(_, binding)| binding.access.writes())
        {
            let (shape, dtype) = (dispatch.shapes[at], dispatch.elements[at]);
            let [wanted, found] = [&copy, dispatch].map(|side| contents(side.slots[at].buffer()));
            let (wanted, found) = (wanted?, found?);
            dispatch.slots[at].buffer().write(0, &wanted)?;
            let bytes = dtype.size(shape) as usize;
            let difference = Difference::between((dtype, shape), &wanted[..bytes], &found[..bytes]);
            let (kernel, label) = (dispatch.kernel.name, dispatch.label());
            findings.push(Finding { launch, kernel, label, binding: binding.name, shape, dtype, difference });
        }
    }
    Ok(findings)
}

/// Compares a model's forward pass and greedy choice on `reference` and on the backend that the model is on: as a prompt
/// all of `ids` but the last, then the last as a decode step. Keys and values are kept as `kv`. Returns what was found
/// in the prompt's launches and in the decode step's.
///
/// # Errors
/// [`Error::Request`] for less than two ids or one beyond the vocabulary, and those of [`pass`].
pub fn model(reference: &Arc<dyn Backend>, model: &Arc<Model>, ids: &[u32], kv: DType) -> Result<[Vec<Finding>; 2]> {
    let vocabulary = model.config.vocabulary;
    let Some((last, prompt)) = ids.split_last().filter(|(_, prompt)| !prompt.is_empty()) else {
        return Err(Error::Request(format!("a prompt and a decode step need two ids or more, found {}", ids.len())));
    };
    if let Some(id) = ids.iter().find(|id| **id >= vocabulary) {
        return Err(Error::Request(format!("token id {id} is not below the vocabulary of {vocabulary}")));
    }
    let context = (ids.len() as u32).next_multiple_of(BLOCK);
    let plan = Plan { context, blocks: context / BLOCK, slots: 1, kv };
    let mut runner = Runner::new(model.clone(), plan)?;
    runner.assign_all()?;
    // The plain loops take launches of any shape, shaders only those of the backend's own tiles.
    if model.backend.caps().kind == DeviceKind::Cpu {
        runner.caps = reference.caps().clone();
    }
    let work = |phase, range| Work::new(SequenceId::new(0), phase, range).with_last_output();
    let prefill = step(&mut runner, &work(Phase::Prefill, 0..prompt.len()), prompt)?;
    let prefill = pass(reference, &model.backend, prefill)?;
    let decode = step(&mut runner, &work(Phase::Decode, prompt.len()..ids.len()), &[*last])?;
    Ok([prefill, pass(reference, &model.backend, decode)?])
}

/// Records a step of one sequence, with a choice for its outputs.
fn step(runner: &mut Runner, work: &Work, tokens: &[u32]) -> Result<Pass> {
    let step = runner.step(work.phase, Layout { rows: tokens.len() as u32, sequences: 1, outputs: 1 })?;
    step.write(&[Input { work, tokens, slot: 0 }])?;
    let mut recording = runner.record(step, LogitRows::Outputs)?;
    recording.choose(runner.model())?;
    Ok(recording.pass)
}

/// The reference's own copy of every buffer that a recording binds.
struct Copies<'a> {
    reference: &'a Arc<dyn Backend>,
    known: HashMap<BufferId, Slot>,
}

impl Copies<'_> {
    /// The same launch on copies of its buffers. A copy is made when a buffer is met first; from then on both sides of
    /// it are kept alike.
    fn of(&mut self, dispatch: &Dispatch) -> Result<Dispatch> {
        let slots = dispatch.slots.iter().map(|slot| {
            let original = slot.buffer();
            if let Some(copy) = self.known.get(&original.id()) {
                return Ok(copy.clone());
            }
            let copy = Buffer::new(self.reference, original.bytes(), "a copy to compare with")?;
            copy.write(0, &contents(original)?)?;
            Ok(self.known.entry(original.id()).or_insert(Slot::Buffer(copy)).clone())
        });
        Ok(Dispatch { slots: slots.collect::<Result<_>>()?, ..dispatch.clone() })
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
