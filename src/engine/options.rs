//! What an engine is made with.

use crate::{
    compute::{
        caps::{Caps, DeviceKind},
        dtype::DType,
    },
    error::{Error, Result},
    model::{
        Model,
        cache::{Plan, Room, Wanted},
    },
};

/// What an engine is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineOptions {
    /// Most tokens of one sequence; the model's own context where `None`, as far as memory allows and up to
    /// [`EngineOptions::USUAL_CONTEXT`].
    pub context: Option<u32>,
    /// Most tokens computed in one step. `None` asks the device: 2048 on a GPU with memory of its own, 512 elsewhere.
    pub budget: Option<u32>,
    /// Most sequences at once.
    pub sequences: u32,
    /// Slots for snapshots of sessions besides.
    pub snapshots: u32,
    /// Type of keys and values in the cache: f32, f16 or [`DType::Q8Heads`].
    pub kv: DType,
    /// Bytes of device memory to use; most of what the device has where `None`.
    pub memory: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { context: None, budget: None, sequences: 8, snapshots: 0, kv: DType::F16, memory: None }
    }
}

impl EngineOptions {
    /// The context that is taken unless more is asked for.
    pub const USUAL_CONTEXT: u32 = 8192;

    /// Most tokens computed in one step on a device: the number that is asked for, or else the one that suits the device.
    pub fn budget_on(&self, caps: &Caps) -> u32 {
        self.budget.unwrap_or(caps.tiles.budget)
    }

    /// How large the caches become.
    ///
    /// # Errors
    /// [`Error::Request`] for a context longer than the model's, or that does not fit, with the one that would, and for a
    /// type in which keys and values are not kept.
    pub fn plan(&self, model: &Model) -> Result<Plan> {
        if !matches!(self.kv, DType::F32 | DType::F16 | DType::Q8Heads) {
            return Err(Error::Request(format!(
                "keys and values are kept as F32, F16 or Q8Heads, not as {:?}",
                self.kv
            )));
        }
        let longest = model.config.context;
        let context = self.context.unwrap_or(longest.min(Self::USUAL_CONTEXT));
        if context > longest {
            return Err(Error::Request(format!(
                "a context of {context} tokens is longer than the model was made for: --context {longest} at most"
            )));
        }
        let wanted = Wanted { context, sequences: self.sequences, slots: self.sequences + self.snapshots, kv: self.kv };
        let taken = model.weights.bytes() + super::memory::estimate(model, self);
        Plan::fit(&model.config, wanted, self.room(model, taken)).map_err(|error| match error {
            Error::Request(what) => Error::Request(format!(
                "{what} (weights and programs take {} MiB; --memory and --budget change what is left)",
                taken.div_ceil(1 << 20)
            )),
            other => other,
        })
    }

    /// Memory left for caches, after the bytes that are taken.
    fn room(&self, model: &Model, taken: u64) -> Room {
        let caps = model.backend.caps();
        let share = if matches!(caps.kind, DeviceKind::Discrete) { 90 } else { 70 };
        let device = caps.memory.map_or(u64::MAX, |bytes| bytes / 100 * share);
        Room { bytes: self.memory.unwrap_or(device).saturating_sub(taken), binding: caps.max_binding }
    }
}
