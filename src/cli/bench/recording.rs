//! Steps outside an engine, recorded as an engine records them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bimetal::{
    Backend, Model, Result, SequenceId,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cost::Load,
            dtype::DType,
        },
        engine::{LogitRows, Recording, Runner},
        kernels::operands::step::{Input, Layout, Phase, Step, Work},
        model::cache::{PAGE, Plan},
    },
};

use indicatif::ProgressBar;

use crate::cli::{
    figures::{count, counted},
    warm_up::patiently,
};

/// Warm-up time of a GPU before measurements: after a pause its clocks are low and rise slowly.
const WARM_UP: Duration = Duration::from_millis(500);

/// The work of a step: one token for each of `rows` sequences, or `rows` tokens of one prompt, after `depth` tokens.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Prefill of one prompt, or decode of one token per sequence.
    pub phase: Phase,
    /// Number of rows.
    pub rows: u32,
    /// Number of earlier tokens of each sequence.
    pub depth: u32,
}

impl Shape {
    /// The number of sequences in the step.
    pub fn sequences(self) -> u32 {
        if self.phase == Phase::Decode { self.rows } else { 1 }
    }

    /// The context that the step needs, in tokens.
    pub fn context(self) -> u32 {
        self.depth.saturating_add(if self.phase == Phase::Decode { 1 } else { self.rows })
    }

    /// The load, for the cost of dispatches.
    pub fn load(self) -> Load {
        match self.phase {
            Phase::Decode => Load::decode(self.rows, self.depth),
            Phase::Prefill => Load::prompt(self.rows, self.depth),
        }
    }

    /// A title for the step.
    pub fn title(self) -> String {
        let Self { phase, rows, depth } = self;
        match phase {
            Phase::Decode => format!("decode step of {} at depth {}", counted(rows as usize, "sequence"), count(depth)),
            Phase::Prefill => format!("prompt chunk of {} at depth {}", counted(rows as usize, "token"), count(depth)),
        }
    }

    /// One word for the phase.
    pub fn kind(self) -> &'static str {
        if self.phase == Phase::Decode { "decode" } else { "prompt" }
    }

    /// The work of each sequence, with logits for its last token.
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

/// Ids like those of a text: spread over the vocabulary, always the same.
pub fn ids(count: u32, vocabulary: u32) -> Vec<u32> {
    (0..count).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect()
}

/// A runner for steps of some shape. Its words are on `backend`, independent of the model's device. The contents of its
/// caches are undefined.
pub fn runner(backend: &Arc<dyn Backend>, model: &Arc<Model>, context: u32, slots: u32, kv: DType) -> Result<Runner> {
    let plan = Plan { context, pages: context.div_ceil(PAGE) * slots, slots, kv };
    let runner = Runner::new(model.clone(), plan)?.with_steps_on(backend)?;
    runner.assign_all()?;
    Ok(runner)
}

/// Records the forward pass of a step; the selection of its tokens can follow.
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

/// Repeats work that waits for the device, until the device is warm. The first time, it may compile shaders.
pub fn warm_up(caps: &Caps, bar: &ProgressBar, mut once: impl FnMut() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    patiently(caps, bar, &mut once)?;
    // The host's cores are at work already.
    while caps.kind != DeviceKind::Cpu && started.elapsed() < WARM_UP {
        once()?;
    }
    Ok(())
}
