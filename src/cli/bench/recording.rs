//! Steps outside of an engine, recorded as an engine records them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bimetal::{
    Result,
    compute::{
        backend::Backend,
        cost::Load,
        dtype::DType,
        pass::{Pass, Program},
        tensor::Tensor,
    },
    kernels::operands::step::{Entry, Kind, Layout, Step},
    model::{
        Model,
        cache::{BLOCK, Cache, Plan},
        qwen3_5::forward,
    },
    ops::select::argmax,
};

/// How long a device is kept busy before anything counts: after a pause its clocks are low, and rise slowly.
const WARM_UP: Duration = Duration::from_millis(500);

/// What a step computes: a token of each of `rows` sequences, or `rows` tokens of one prompt, after `depth` others.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tokens of prompts, or one token of each sequence.
    pub kind: Kind,
    /// Rows.
    pub rows: u32,
    /// Tokens of each sequence before them.
    pub depth: u32,
}

impl Shape {
    /// The sequences that take part.
    pub fn sequences(self) -> u32 {
        if self.kind == Kind::Decode { self.rows } else { 1 }
    }

    /// The longest context that it makes.
    pub fn context(self) -> u32 {
        self.depth.saturating_add(if self.kind == Kind::Decode { 1 } else { self.rows })
    }

    /// What costs depend on.
    pub fn load(self) -> Load {
        match self.kind {
            Kind::Decode => Load::decode(self.rows, self.depth),
            Kind::Prompt => Load::prompt(self.rows, self.depth),
        }
    }

    /// In words.
    pub fn title(self) -> String {
        let Self { kind, rows, depth } = self;
        match kind {
            Kind::Decode if rows == 1 => format!("decode step of 1 row (1 sequence) at depth {depth}"),
            Kind::Decode => format!("decode step of {rows} rows ({rows} sequences) at depth {depth}"),
            Kind::Prompt => format!("prompt chunk of {rows} rows at depth {depth}"),
        }
    }

    /// One word for its kind.
    pub fn kind(self) -> &'static str {
        if self.kind == Kind::Decode { "decode" } else { "prompt" }
    }

    fn layout(self) -> Layout {
        Layout { rows: self.rows, sequences: self.sequences() }
    }
}

/// Ids that look like a text's: spread over the vocabulary, the same every time.
pub fn ids(count: u32, vocabulary: u32) -> Vec<u32> {
    (0..count).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect()
}

/// A cache for steps of some shape, whose block tables are on `backend` whatever device the model is on. What it holds
/// is undefined.
pub fn cache(backend: &Arc<dyn Backend>, model: &Model, (shape, context): (Shape, u32), kv: DType) -> Result<Cache> {
    let (slots, width) = (shape.sequences(), context.div_ceil(BLOCK));
    let plan = Plan { context, blocks: width * slots, slots, kv };
    let mut cache = Cache::new(&model.backend, &model.config, &plan)?;
    let blocks: Vec<u32> = (0..plan.blocks).collect();
    cache.tables = Arc::new(Tensor::from_slice(backend, [slots, width], DType::U32, "block tables", &blocks)?);
    Ok(cache)
}

/// The forward pass of a step and the choice of its tokens.
pub struct Recording {
    shape: Shape,
    step: Step,
    /// What was recorded.
    pub pass: Pass,
    /// \[sequences, V\] f32.
    pub logits: Tensor,
    tokens: Tensor,
}

impl Recording {
    /// Records a step whose words are on `backend`, whatever device the model is on.
    pub fn new(backend: &Arc<dyn Backend>, model: &Model, cache: &mut Cache, shape: Shape) -> Result<Self> {
        let step = Step::new(backend, shape.layout(), shape.kind, cache.tables.clone())?;
        let outputs = |width, dtype, label| Tensor::new(&model.backend, [shape.sequences(), width], dtype, label);
        let mut logits = outputs(model.config.vocabulary, DType::F32, "logits")?;
        let mut tokens = outputs(1, DType::U32, "tokens")?;
        let pass = Pass::new(backend.caps());
        forward(&pass, &model.weights, cache, &step, &mut logits);
        let chosen = if shape.kind == Kind::Prompt { step.outputs() } else { step.clone() };
        argmax(&pass, &chosen, &logits, model.vocabulary, &mut tokens);
        Ok(Self { shape, step, pass, logits, tokens })
    }

    /// Fills the step's words with made-up tokens.
    pub fn fill(&self, vocabulary: u32) -> Result<()> {
        let Shape { kind, rows, depth: position } = self.shape;
        let ids = ids(rows, vocabulary);
        match kind {
            Kind::Prompt => self.step.write(&[Entry { ids: &ids, position, slot: 0, outputs: rows - 1..rows }]),
            Kind::Decode => {
                let entry = |(slot, ids)| Entry { ids, position, slot, outputs: 0..1 };
                self.step.write(&(0..).zip(ids.chunks(1)).map(entry).collect::<Vec<_>>())
            }
        }
    }

    /// Prepares it on the model's device.
    pub fn prepare(self, model: &Model) -> Result<Prepared> {
        let Self { step, pass, logits, tokens, .. } = self;
        Ok(Prepared { step, logits, tokens, program: model.backend.load(pass)? })
    }
}

/// A step that can be run.
pub struct Prepared {
    /// What changes from run to run.
    pub step: Step,
    /// What runs.
    pub program: Program,
    /// \[sequences, V\] f32.
    pub logits: Tensor,
    /// \[sequences, 1\] u32.
    pub tokens: Tensor,
}

/// Runs something that ends when the device is done, until the device is warm.
pub fn warm_up(mut once: impl FnMut() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    once()?;
    while started.elapsed() < WARM_UP {
        once()?;
    }
    Ok(())
}
