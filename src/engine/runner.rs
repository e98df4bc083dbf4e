//! A model with the memory of its sequences: what every step is recorded with, inside of an engine and outside.

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
        cache::{BLOCK, Cache, Plan},
    },
    ops::select::argmax,
};

/// A model with the memory of its sequences.
pub struct Runner {
    /// What recordings are told of the device: where steps have their words.
    pub caps: Caps,
    model: Arc<Model>,
    plan: Plan,
    cache: Cache,
    /// Where steps have their words: the model's device, unless another one was given.
    backend: Arc<dyn Backend>,
}

/// Which rows of a step leave logits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogitRows {
    /// The outputs of its work; in a decode step every row.
    Outputs,
    /// Every row of a prompt, with the bits that it has as an output.
    Every,
}

impl Runner {
    /// A model with caches as planned. No slot has blocks yet.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(model: Arc<Model>, plan: Plan) -> Result<Self> {
        let cache = Cache::new(&model.backend, &model.config, &plan)?;
        let backend = model.backend.clone();
        Ok(Self { caps: backend.caps().clone(), model, plan, cache, backend })
    }

    /// The same, with the words of steps and the block tables on another device than the model: recordings are made for
    /// that one.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn with_steps_on(mut self, backend: &Arc<dyn Backend>) -> Result<Self> {
        let shape = [self.cache.tables.rows(), self.cache.tables.width()];
        self.cache.tables = Arc::new(Tensor::new(backend, shape, DType::U32, "block tables")?);
        Ok(Self { caps: backend.caps().clone(), backend: backend.clone(), ..self })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What the caches hold.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What sequences left behind.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(super) fn cache_mut(&mut self) -> &mut Cache {
        &mut self.cache
    }

    /// Bytes of device memory: weights and caches.
    pub fn bytes(&self) -> u64 {
        self.model.weights.bytes() + self.plan.bytes(&self.model.config)
    }

    /// Gives a slot its blocks of keys and values, in the order of its sequence's positions.
    ///
    /// # Errors
    /// Those of [`Backend::write`].
    pub fn assign(&self, slot: u32, blocks: &[u32]) -> Result<()> {
        let tables = &self.cache.tables;
        tables.write(u64::from(slot) * u64::from(tables.width()), blocks)
    }

    /// Gives every slot blocks of its own for a whole context, the first slot the first ones.
    ///
    /// # Errors
    /// Those of [`Backend::write`].
    pub fn assign_all(&self) -> Result<()> {
        let width = self.plan.context.div_ceil(BLOCK);
        (0..self.plan.slots).try_for_each(|slot| {
            let blocks: Vec<u32> = (slot * width..(slot + 1) * width).collect();
            self.assign(slot, &blocks)
        })
    }

    /// A step with these capacities.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn step(&self, phase: Phase, layout: Layout) -> Result<Step> {
        Step::new(&self.backend, layout, phase, self.cache.tables.clone())
    }

    /// Records the forward pass of a step. logits \[rows, V\] f32, a row for each of `rows`.
    pub fn forward(&mut self, p: &Pass, step: &Step, rows: LogitRows, logits: &mut Tensor) {
        let (model, cache) = (&self.model, &mut self.cache);
        match rows {
            LogitRows::Outputs => model.forward(p, cache, step, logits),
            LogitRows::Every => model.forward_every(p, cache, step, logits),
        }
    }

    /// Records a step's forward pass into logits of its own.
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

    /// Prepares a recording on the model's device.
    ///
    /// # Errors
    /// Those of [`Backend::load`].
    pub fn load(&self, recording: Recording) -> Result<Prepared> {
        let Recording { step, pass, logits } = recording;
        Ok(Prepared { step, program: self.model.backend.load(pass)?, logits })
    }
}

/// A step's forward pass, recorded.
pub struct Recording {
    /// What changes from run to run.
    pub step: Step,
    /// What was recorded.
    pub pass: Pass,
    /// \[rows, V\] f32, a row for each that leaves logits.
    pub logits: Tensor,
}

impl Recording {
    /// Adds the greedy choice of each output's token. → \[outputs, 1\] u32.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn choose(&mut self, model: &Model) -> Result<Tensor> {
        let mut tokens = Tensor::new(&model.backend, [self.logits.rows(), 1], DType::U32, "tokens")?;
        argmax(&self.pass, &logit_rows(&self.step), &self.logits, model.vocabulary, &mut tokens);
        Ok(tokens)
    }
}

/// A step that can be run.
pub struct Prepared {
    /// What changes from run to run.
    pub step: Step,
    /// What runs.
    pub program: Program,
    /// \[rows, V\] f32, a row for each that leaves logits.
    pub logits: Tensor,
}

/// The step of tensors that have a row for each output's logits: a decode step leaves them for all its rows.
pub(super) fn logit_rows(step: &Step) -> Step {
    match step.phase() {
        Phase::Prefill => step.outputs(),
        Phase::Decode => step.clone(),
    }
}
