//! Device memory of an engine apart from weights and caches.

use super::EngineOptions;
use crate::{compute::dtype::DType, model::Model};

/// Upper bound, in bytes, for the memory of an engine's programs.
pub(super) fn estimate(model: &Model, options: &EngineOptions) -> u64 {
    let config = &model.config;
    let widest = model.weights.widest() + u64::from(config.intermediate) + 4 * u64::from(config.hidden);
    let caps = model.backend.caps();
    let budget = options.budget_on(caps);
    let rows = u64::from(budget) + 4 * u64::from(options.sequences);
    let on_units = caps.matrix_units.is_some() && model.weights.activations() == DType::F16;
    let dequantized = if on_units {
        model.weights.dequantized_bytes([budget, options.sequences], caps.tiles.dequantize_first)
    } else {
        0
    };
    2 * (4 * rows * widest + dequantized) + 4 * 4 * u64::from(options.sequences) * u64::from(config.vocabulary)
}
