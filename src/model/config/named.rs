//! The published model sizes, for benchmarks with random weights.

use super::{Config, LayerKind, ValueOrder};

/// One published model: name, hidden, intermediate, layers, query heads, key-value heads, DeltaNet value heads, tied.
type Row = (&'static str, u32, u32, usize, u32, u32, u32, bool);

#[rustfmt::skip]
const TABLE: [Row; Config::NAMES.len()] = [
    ("0.8b", 1024,  3584, 24,  8, 2, 16, true),
    ("2b",   2048,  6144, 24,  8, 2, 16, true),
    ("4b",   2560,  9216, 32, 16, 4, 32, true),
    ("9b",   4096, 12288, 32, 16, 4, 32, false),
    ("27b",  5120, 17408, 64, 24, 4, 48, false),
];

impl Config {
    /// The names that [`Config::named`] accepts.
    pub const NAMES: [&str; 5] = ["0.8b", "2b", "4b", "9b", "27b"];

    /// The configuration of a published model, one of [`Config::NAMES`].
    pub fn named(name: &str) -> Option<Config> {
        let row = TABLE.iter().find(|row| row.0 == name)?;
        let (_, hidden, intermediate, layers, query_heads, kv_heads, value_heads, tied) = *row;
        let kind = |layer: usize| if layer % 4 == 3 { LayerKind::Full } else { LayerKind::Linear };
        Some(Config {
            hidden,
            intermediate,
            layers: (0..layers).map(kind).collect(),
            query_heads,
            kv_heads,
            head_dim: 256,
            key_heads: 16,
            value_heads,
            value_order: ValueOrder::Grouped,
            key_head_dim: 128,
            value_head_dim: 128,
            conv_kernel: 4,
            vocabulary: 248_320,
            epsilon: 1e-6,
            rope_theta: 1e7,
            rotary_dim: 64,
            tied,
            context: 262_144,
            eos: vec![248_044],
        })
    }
}
