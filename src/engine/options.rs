//! The options of an engine, and the cache sizes that follow from them.

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

/// The size limits of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineOptions {
    /// Maximum number of tokens per sequence. `None` takes the model's own context, at most
    /// [`EngineOptions::USUAL_CONTEXT`].
    pub context: Option<u32>,
    /// Maximum number of tokens per step. `None` asks the device: 2048 on a discrete GPU, 512 elsewhere.
    pub budget: Option<u32>,
    /// Maximum number of running sequences.
    pub sequences: u32,
    /// Number of additional slots, for snapshots of sessions.
    pub snapshots: u32,
    /// Type of keys and values in the cache: f32, f16 or [`DType::Q8Heads`].
    pub kv: DType,
    /// Device memory to use, in bytes. `None` takes 90 % of a discrete GPU's memory, 70 % on other devices.
    pub memory: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { context: None, budget: None, sequences: 8, snapshots: 0, kv: DType::F16, memory: None }
    }
}

impl EngineOptions {
    /// The default limit of the context, in tokens.
    pub const USUAL_CONTEXT: u32 = 8192;

    /// The maximum number of tokens per step on a device: `budget`, or the device's default.
    pub fn budget_on(&self, caps: &Caps) -> u32 {
        self.budget.unwrap_or(caps.tiles.budget)
    }

    /// The sizes of the caches.
    ///
    /// # Errors
    /// [`Error::Request`] for a context longer than the model's, a context that does not fit (with the largest context
    /// that fits), or a `kv` type that the cache does not support.
    pub fn plan(&self, model: &Model) -> Result<Plan> {
        if !matches!(self.kv, DType::F32 | DType::F16 | DType::Q8Heads) {
            return Err(Error::Request(format!(
                "keys and values are kept as F32, F16 or Q8Heads, not as {:?}",
                self.kv
            )));
        }
        let longest = model.config.context;
        let context = self.context.unwrap_or(longest.min(Self::USUAL_CONTEXT));
        model.config.require_context(context)?;
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

    /// Bytes of a device's memory that an engine uses by default; `None` if its memory is unknown.
    pub fn usable_memory(caps: &Caps) -> Option<u64> {
        let share = if matches!(caps.kind, DeviceKind::Discrete) { 90 } else { 70 };
        caps.memory.map(|bytes| bytes / 100 * share)
    }

    /// Memory for caches: the usable bytes minus `taken`.
    fn room(&self, model: &Model, taken: u64) -> Room {
        let caps = model.backend.caps();
        let device = Self::usable_memory(caps).unwrap_or(u64::MAX);
        Room { bytes: self.memory.unwrap_or(device).saturating_sub(taken), binding: caps.max_binding }
    }
}
