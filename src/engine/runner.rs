//! A model with the caches of its sequences. All steps are recorded with it, inside and outside of an engine.

use std::sync::Arc;

use crate::{
    compute::{
        backend::Backend,
        caps::Caps,
        dtype::DType,
        pass::{Pass, Program},
        tensor::Tensor,
    },
    error::Result,
    kernels::operands::step::{Layout, Phase, Step},
    model::{
        Model,
        cache::{Cache, PAGE, Plan},
    },
    ops::select::argmax,
};

/// A model with the caches of its sequences.
pub struct Runner {
    /// The capabilities that recordings are made for: those of the device that holds the step buffers.
    pub caps: Caps,
    model: Arc<Model>,
    plan: Plan,
    cache: Cache,
    /// The device that holds the step buffers: the model's device by default.
    backend: Arc<dyn Backend>,
}

/// The rows of a step that get logits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogitRows {
    /// The outputs of its work; in a decode step, all rows.
    Outputs,
    /// All rows of a prefill step, with the same bits as [`LogitRows::Outputs`] gives.
    Every,
}

impl Runner {
    /// Creates the caches of a plan for a model. No slot has pages yet.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(model: Arc<Model>, plan: Plan) -> Result<Self> {
        let cache = Cache::new(&model.backend, &model.config, &plan)?;
        let backend = model.backend.clone();
        Ok(Self { caps: backend.caps().clone(), model, plan, cache, backend })
    }

    /// The same runner with step buffers and page tables on another device than the model. Recordings are made for
    /// that other device.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn with_steps_on(mut self, backend: &Arc<dyn Backend>) -> Result<Self> {
        let shape = [self.cache.tables.rows(), self.cache.tables.width()];
        self.cache.tables = Arc::new(Tensor::new(backend, shape, DType::U32, "page tables")?);
        Ok(Self { caps: backend.caps().clone(), backend: backend.clone(), ..self })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The sizes of the caches.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The caches of all sequences.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(super) fn cache_mut(&mut self) -> &mut Cache {
        &mut self.cache
    }

    /// Device memory of weights and caches, in bytes.
    pub fn bytes(&self) -> u64 {
        self.model.weights.bytes() + self.plan.bytes(&self.model.config)
    }

    /// Writes the page table of a slot: its pages of keys and values, in order of position.
    ///
    /// # Errors
    /// Those of [`Backend::write`].
    pub fn assign(&self, slot: u32, pages: &[u32]) -> Result<()> {
        let tables = &self.cache.tables;
        tables.write(u64::from(slot) * u64::from(tables.width()), pages)
    }

    /// Assigns each slot its own pages for a whole context, in order of slot.
    ///
    /// # Errors
    /// Those of [`Backend::write`].
    pub fn assign_all(&self) -> Result<()> {
        let width = self.plan.context.div_ceil(PAGE);
        (0..self.plan.slots).try_for_each(|slot| {
            let pages: Vec<u32> = (slot * width..(slot + 1) * width).collect();
            self.assign(slot, &pages)
        })
    }

    /// Creates a step buffer with these capacities.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn step(&self, phase: Phase, layout: Layout) -> Result<Step> {
        Step::new(&self.backend, layout, phase, self.cache.tables.clone())
    }

    /// Records the forward pass of a step. logits \[rows, V\] f32, one row for each row in `rows`.
    pub fn forward(&mut self, p: &Pass, step: &Step, rows: LogitRows, logits: &mut Tensor) {
        let (model, cache) = (&self.model, &mut self.cache);
        match rows {
            LogitRows::Outputs => model.forward(p, cache, step, logits),
            LogitRows::Every => model.forward_every(p, cache, step, logits),
        }
    }

    /// Records the last hidden states of a prefill step's outputs. hidden \[outputs, D\] f32.
    pub fn hidden(&mut self, p: &Pass, step: &Step, hidden: &mut Tensor) {
        self.model.hidden(p, &mut self.cache, step, hidden);
    }

    /// Records a step's forward pass, with a new tensor for its logits.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn record(&mut self, step: Step, rows: LogitRows) -> Result<Recording> {
        let count = match rows {
            LogitRows::Outputs => logit_rows(&step).capacity(),
            LogitRows::Every => step.capacity(),
        };
        let shape = [count, self.model.config.vocabulary];
        let mut logits = Tensor::new(&self.model.backend, shape, DType::F32, "logits")?;
        let pass = Pass::new(&self.caps);
        self.forward(&pass, &step, rows, &mut logits);
        Ok(Recording { step, pass, logits })
    }

    /// Prepares a recording for the model's device.
    ///
    /// # Errors
    /// Those of [`Backend::load`].
    pub fn load(&self, recording: Recording) -> Result<Prepared> {
        let Recording { step, pass, logits } = recording;
        Ok(Prepared { step, program: self.model.backend.load(pass)?, logits })
    }
}

/// The recorded forward pass of a step.
pub struct Recording {
    /// The inputs that change from run to run.
    pub step: Step,
    /// The recorded dispatches.
    pub pass: Pass,
    /// \[rows, V\] f32, one row for each row with logits.
    pub logits: Tensor,
}

impl Recording {
    /// Records the greedy choice of each output's token. → \[outputs, 1\] u32.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn choose(&mut self, model: &Model) -> Result<Tensor> {
        let mut tokens = Tensor::new(&model.backend, [self.logits.rows(), 1], DType::U32, "tokens")?;
        argmax(model.recorder(&self.pass, &logit_rows(&self.step)), &self.logits, model.vocabulary, &mut tokens);
        Ok(tokens)
    }
}

/// A step that is ready to run.
pub struct Prepared {
    /// The inputs that change from run to run.
    pub step: Step,
    /// The program.
    pub program: Program,
    /// \[rows, V\] f32, one row for each row with logits.
    pub logits: Tensor,
}

/// The step for tensors with one row per row of logits. A decode step has logits for all its rows.
pub(super) fn logit_rows(step: &Step) -> Step {
    match step.phase() {
        Phase::Prefill => step.outputs(),
        Phase::Decode => step.clone(),
    }
}
