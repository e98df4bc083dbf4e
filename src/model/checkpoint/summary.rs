//! The contents of a checkpoint, counted from its headers only.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{Checkpoint, Part};
use crate::{compute::dtype::DType, model::config::Config};

/// The contents of a checkpoint in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The model's configuration.
    pub config: Config,
    /// Values by part of the text model.
    pub parameters: BTreeMap<Part, u64>,
    /// Bytes of the text model's tensors by dtype.
    pub bytes: BTreeMap<DType, u64>,
    /// The skipped tensors: their number and bytes.
    pub skipped: BTreeMap<Skipped, (usize, u64)>,
    /// The weight files and their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// The part of a checkpoint that a skipped tensor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skipped {
    /// The vision encoder.
    Vision,
    /// The multi-token prediction head.
    Mtp,
    /// An output head, although the embedding serves as the head.
    TiedHead,
    /// Anything else outside the text model, such as a reward head, or a buffer that this engine computes.
    Other,
}

impl Summary {
    /// Number of values of the text model.
    pub fn total_parameters(&self) -> u64 {
        self.parameters.values().sum()
    }
}

pub(super) fn summary(checkpoint: &Checkpoint) -> Summary {
    let mut parameters = BTreeMap::new();
    for tensor in checkpoint.expected.values() {
        *parameters.entry(tensor.part).or_default() += tensor.elements();
    }
    let mut bytes = BTreeMap::new();
    let mut skipped = BTreeMap::new();
    for (name, stored) in &checkpoint.files.stored {
        let size = stored.range.len() as u64;
        if let Some(what) = checkpoint.skipped(name) {
            let (tensors, total) = skipped.entry(what).or_default();
            *tensors += 1usize;
            *total += size;
        } else if let Some(dtype) = checkpoint.files.quantized(stored).or_else(|| stored.encoding.dtype()) {
            *bytes.entry(dtype).or_default() += size;
        }
    }
    let size = |shard: &super::directory::Shard| (shard.path.clone(), shard.bytes.length());
    let mut files: Vec<_> = checkpoint.files.shards.iter().map(size).collect();
    if checkpoint.is_gguf() {
        // A tensor converted on opening counts with its bytes in the file.
        files.pop();
    }
    Summary { config: checkpoint.config.clone(), parameters, bytes, skipped, files }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skipped::Vision => "vision encoder",
            Skipped::Mtp => "multi-token prediction",
            Skipped::TiedHead => "output head (the embedding serves as one)",
            Skipped::Other => "others",
        })
    }
}
