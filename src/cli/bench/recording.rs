//! Steps outside of an engine, recorded as an engine records them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bimetal::{
    Backend, Model, Result, SequenceId,
    low_level::{
        compute::{cost::Load, dtype::DType},
        engine::{LogitRows, Recording, Runner},
        kernels::operands::step::{Input, Layout, Phase, Step, Work},
        model::cache::{BLOCK, Plan},
    },
};

/// How long a device is kept busy before anything counts: after a pause its clocks are low, and rise slowly.
const WARM_UP: Duration = Duration::from_millis(500);

/// What a step computes: a token of each of `rows` sequences, or `rows` tokens of one prompt, after `depth` others.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tokens of prompts, or one token of each sequence.
    pub phase: Phase,
    /// Rows.
    pub rows: u32,
    /// Tokens of each sequence before them.
    pub depth: u32,
}

impl Shape {
    /// The sequences that take part.
    pub fn sequences(self) -> u32 {
        if self.phase == Phase::Decode { self.rows } else { 1 }
    }

    /// The longest context that it makes.
    pub fn context(self) -> u32 {
        self.depth.saturating_add(if self.phase == Phase::Decode { 1 } else { self.rows })
    }

    /// What costs depend on.
    pub fn load(self) -> Load {
        match self.phase {
            Phase::Decode => Load::decode(self.rows, self.depth),
            Phase::Prefill => Load::prompt(self.rows, self.depth),
        }
    }

    /// In words.
    pub fn title(self) -> String {
        let Self { phase, rows, depth } = self;
        match phase {
            Phase::Decode if rows == 1 => format!("decode step of 1 row (1 sequence) at depth {depth}"),
            Phase::Decode => format!("decode step of {rows} rows ({rows} sequences) at depth {depth}"),
            Phase::Prefill => format!("prompt chunk of {rows} rows at depth {depth}"),
        }
    }

    /// One word for its kind.
    pub fn kind(self) -> &'static str {
        if self.phase == Phase::Decode { "decode" } else { "prompt" }
    }

    /// What each sequence computes, with logits for its last token.
    fn work(self) -> Vec<Work> {
        let depth = self.depth as usize;
        let range = depth..self.context() as usize;
        let work = |number| Work::new(SequenceId::new(number), self.phase, range.clone()).with_last_output();
        (0..u64::from(self.sequences())).map(work).collect()
    }

    fn layout(self) -> Layout {
        Layout { rows: self.rows, sequences: self.sequences(), outputs: self.sequences() }
    }
}

/// Ids that look like a text's: spread over the vocabulary, the same every time.
pub fn ids(count: u32, vocabulary: u32) -> Vec<u32> {
    (0..count).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect()
}

/// A runner for steps of some shape, whose words are on `backend` whatever device the model is on. What its caches hold is
/// undefined.
pub fn runner(backend: &Arc<dyn Backend>, model: &Arc<Model>, context: u32, slots: u32, kv: DType) -> Result<Runner> {
    let plan = Plan { context, blocks: context.div_ceil(BLOCK) * slots, slots, kv };
    let runner = Runner::new(model.clone(), plan)?.with_steps_on(backend)?;
    runner.assign_all()?;
    Ok(runner)
}

/// Records the forward pass of a step, to which the choice of its tokens can be added.
pub fn record(runner: &mut Runner, shape: Shape) -> Result<Recording> {
    let step = runner.step(shape.phase, shape.layout())?;
    runner.record(step, LogitRows::Outputs)
}

/// Fills a step's words with made-up tokens.
pub fn fill(step: &Step, shape: Shape, vocabulary: u32) -> Result<()> {
    let ids = ids(shape.rows, vocabulary);
    let work = shape.work();
    let parts = (0..).zip(&work).zip(ids.chunks(work[0].range.len()));
    let inputs = parts.map(|((slot, work), tokens)| Input { work, tokens, slot });
    step.write(&inputs.collect::<Vec<_>>())
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
