//! How long the runs of a measurement take, compared with each other. From this follows the time that is left.

use bimetal::low_level::{
    compute::caps::{Caps, DeviceKind},
    kernels::operands::step::Phase,
};

use super::recording::Shape;

/// On a GPU, a decode step reads all weights, as a prompt of some tokens does.
const TOKENS_OF_A_STEP: u64 = 64;

/// The unit is a token of a prompt.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Whether a row of a decode step takes as long as a token of a prompt.
    is_host: bool,
}

impl Effort {
    /// On a device.
    pub fn on(caps: &Caps) -> Self {
        Self { is_host: matches!(caps.kind, DeviceKind::Cpu | DeviceKind::Software) }
    }

    /// Of some decode steps, with a row for each sequence.
    pub fn decode(self, sequences: u32, steps: u32) -> u64 {
        let step = u64::from(sequences) + if self.is_host { 0 } else { TOKENS_OF_A_STEP };
        step * u64::from(steps)
    }

    /// Of one step.
    pub fn step(self, shape: Shape) -> u64 {
        if shape.phase == Phase::Decode { self.decode(shape.rows, 1) } else { shape.rows.into() }
    }

    /// Of prompts of `depth` tokens, and some decode steps of all of them.
    pub fn together(self, sequences: u32, depth: u32, steps: u32) -> u64 {
        u64::from(sequences) * u64::from(depth.max(1)) + self.decode(sequences, steps)
    }
}
