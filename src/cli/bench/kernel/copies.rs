//! One dispatch on many sets of buffers, so that no cache still holds a set when it is used again.

use std::sync::Arc;

use bimetal::{
    Backend, Result,
    low_level::{
        compute::{
            dtype::DType,
            kernel::{Access, Binding, Dispatch},
            memory::{Buffer, Resource},
        },
        kernels::operands::step,
    },
};
use half::{bf16, f16};

/// Maximum number of buffer sets: a dispatch that moves less than 1/1000 of a cache cannot be kept out of it.
const MAX_COPIES: u64 = 1024;
/// Bytes of random numbers before they repeat; also the size of one write.
const BLOCK: usize = 1 << 22;

/// Copies of a dispatch, each with its own buffers.
pub struct Copies(Vec<Dispatch>);

impl Copies {
    /// Maximum bytes of all copies; one copy may exceed it.
    pub const MAX_BYTES: u64 = 2 << 30;

    /// The number of copies that together move `aim` bytes if each moves `moved`, in at most `max_bytes` of buffers.
    /// At least one.
    pub fn new(
        backend: &Arc<dyn Backend>,
        dispatch: &Dispatch,
        (moved, aim): (u64, u64),
        max_bytes: u64,
    ) -> Result<Self> {
        let shared = shared(dispatch);
        let own = |at: &usize| *at != shared && !is_kept(&dispatch.kernel.bindings[*at]);
        let bytes: u64 = (0..dispatch.resources.len()).filter(own).map(|at| bytes(dispatch, at)).sum();
        let count = aim.div_ceil(moved.max(1)).min(max_bytes / bytes.max(1)).clamp(1, MAX_COPIES);
        let result = Resource::Buffer(filled(backend, dispatch, shared)?);
        let copy = |_| {
            let resource = |(at, resource): (usize, &Resource)| match () {
                () if at == shared => Ok(result.clone()),
                () if own(&at) => filled(backend, dispatch, at).map(Resource::Buffer),
                () => Ok(resource.clone()),
            };
            let resources = dispatch.resources.iter().enumerate().map(resource).collect::<Result<_>>()?;
            Ok(Dispatch { resources, barrier: true, ..dispatch.clone() })
        };
        (0..count).map(copy).collect::<Result<_>>().map(Self)
    }

    /// The dispatches.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.0
    }
}

/// Bindings that the recording already has on the device: the step's words and the page tables.
fn is_kept(binding: &Binding) -> bool {
    binding.name == step::BINDING.name || binding.name == "tables"
}

/// The binding that all copies share, so that each waits for the one before, as in a step. A result that is only
/// written, or else the last binding that changes.
fn shared(dispatch: &Dispatch) -> usize {
    let bindings = dispatch.kernel.bindings;
    let results = bindings.iter().position(|binding| binding.access == Access::Write);
    let changed = || bindings.iter().rposition(|binding| binding.access.writes());
    results.or_else(changed).expect("a kernel has a result")
}

fn bytes(dispatch: &Dispatch, at: usize) -> u64 {
    dispatch.elements[at].size(dispatch.shapes[at])
}

/// A buffer for a binding, with numbers like activations or weights; words are zero.
fn filled(backend: &Arc<dyn Backend>, dispatch: &Dispatch, at: usize) -> Result<Arc<Buffer>> {
    let bytes = bytes(dispatch, at);
    let buffer = Buffer::new(backend, bytes, dispatch.kernel.bindings[at].name)?;
    let block = random(dispatch.elements[at], BLOCK.min(buffer.bytes() as usize));
    for first in (0..buffer.bytes()).step_by(BLOCK) {
        let length = (buffer.bytes() - first).min(BLOCK as u64) as usize;
        buffer.write(first, &block[..length])?;
    }
    Ok(buffer)
}

/// Random numbers between −1 and 1, as bytes.
fn random(dtype: DType, bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); // Knuth's MMIX
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    let mut data = Vec::with_capacity(bytes + 4);
    while data.len() < bytes {
        match dtype {
            DType::F32 => data.extend(unit().to_le_bytes()),
            DType::F16 => data.extend(f16::from_f32(unit()).to_le_bytes()),
            DType::Bf16 => data.extend(bf16::from_f32(unit()).to_le_bytes()),
            DType::U32 => data.extend([0; 4]),
            // Codes, block words and units alike: f16 values of ordinary size.
            _ => data.extend(f16::from_f32(unit()).to_le_bytes()),
        }
    }
    data.truncate(bytes);
    data
}
