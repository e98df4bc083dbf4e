//! The number of parameters of a configuration.

use super::{Config, LayerKind};
use crate::kernels::operands::heads::TAPS;

impl Config {
    /// Number of parameters; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        let heads = self.delta_heads();
        let [hidden, inner, head] = [self.hidden, self.intermediate, self.head_dim].map(u64::from);
        let attention =
            u64::from(2 * self.query_heads + 2 * self.kv_heads + self.query_heads) * head * hidden + 2 * head;
        let linear = u64::from(heads.projected() + heads.values()) * hidden
            + u64::from(TAPS * heads.channels() + 2 * heads.value + heads.value_width);
        let layer = |kind: &LayerKind| {
            3 * inner * hidden + 2 * hidden + if *kind == LayerKind::Full { attention } else { linear }
        };
        let tables = u64::from(self.vocabulary) * hidden * if self.tied { 1 } else { 2 };
        tables + hidden + self.layers.iter().map(layer).sum::<u64>()
    }
}
