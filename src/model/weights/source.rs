//! The source of weights: a checkpoint, random numbers, or shapes only.

use std::{borrow::Cow, ops::Range};

use crate::{
    compute::{dtype::DType, formats::Scales},
    error::{Error, Result},
    model::{
        checkpoint::{Checkpoint, TensorView},
        config::Config,
        weights::{convert::widen, quantize, random::random},
    },
};

/// The source of weights.
pub enum Source<'a> {
    /// A checkpoint on disk or in memory.
    Checkpoint(&'a Checkpoint),
    /// Random weights for a configuration, for measurements.
    Random(&'a Config),
    /// The shapes and types of another source, without values, for recordings that never run.
    Shapes(&'a Source<'a>),
}

/// One tensor of a source, as a matrix.
pub(super) struct Stored<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: DType,
    /// Its type on the device.
    pub(super) to: DType,
    pub(super) rows: u32,
    pub(super) width: u32,
    pub(super) data: Cow<'a, [u8]>,
    pub(super) scales: Scales<'a>,
}

impl Stored<'_> {
    /// Its elements as f32.
    pub(super) fn f32s(&self) -> Vec<f32> {
        let mut f32s = vec![0.0; self.rows as usize * self.width as usize];
        widen(self.dtype, &self.data, &mut f32s);
        f32s
    }

    /// The byte range of some of its rows.
    pub(super) fn row_bytes(&self, rows: &Range<u32>) -> Range<usize> {
        let row = self.scales.row_bytes(self.dtype, self.width);
        rows.start as usize * row..rows.end as usize * row
    }
}

impl Source<'_> {
    /// The model's configuration.
    pub fn config(&self) -> &Config {
        match self {
            Source::Checkpoint(checkpoint) => checkpoint.config(),
            Source::Random(config) => config,
            Source::Shapes(source) => source.config(),
        }
    }

    /// A stored tensor, given its shape.
    pub(super) fn tensor<'a>(&'a self, name: &'a str, [rows, width]: [u32; 2]) -> Result<Stored<'a>> {
        let none = Scales::default();
        let (dtype, data, scales) = match self {
            Source::Checkpoint(checkpoint) => {
                let view = checkpoint.tensor(name)?;
                (view.dtype, Cow::Borrowed(view.data), view.scales)
            }
            Source::Random(_) => (DType::Bf16, random(name, rows, width).into(), none),
            Source::Shapes(source) => (source.dtype(name)?, Cow::Borrowed(&[][..]), none),
        };
        Ok(Stored { name, dtype, to: dtype, rows, width, data, scales })
    }

    /// [`Error::Tensor`] with the place of the first value that is not finite.
    pub(super) fn require_finite(&self, name: &str) -> Result<()> {
        match self {
            Source::Checkpoint(checkpoint) => checkpoint.tensor(name)?.require_finite(),
            Source::Random(_) | Source::Shapes(_) => Ok(()),
        }
    }

    /// The stored type of a tensor.
    pub(super) fn dtype(&self, name: &str) -> Result<DType> {
        match self {
            Source::Checkpoint(checkpoint) => Ok(checkpoint.tensor(name)?.dtype),
            Source::Random(_) => Ok(DType::Bf16),
            Source::Shapes(source) => source.dtype(name),
        }
    }

    /// Checks that the weights can get the requested format: quantized weights are never quantized again.
    pub(super) fn require_form(&self, wanted: Option<DType>) -> Result<()> {
        match (self, wanted) {
            (_, Some(wanted)) if !wanted.is_quantized() => {
                Err(Error::Request(format!("{wanted} is not a format of quantized weights: choose q8 or q4")))
            }
            (Source::Checkpoint(checkpoint), Some(wanted)) => quantize::require_original(checkpoint, wanted),
            (Source::Shapes(source), wanted) => source.require_form(wanted),
            _ => Ok(()),
        }
    }

    /// Total size of its tensors in bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Source::Checkpoint(checkpoint) => checkpoint.summary().bytes.values().sum(),
            Source::Random(config) => 2 * config.parameters(),
            Source::Shapes(_) => 0,
        }
    }

    /// Releases the pages of some bytes of a tensor.
    pub(super) fn release(&self, name: &str, bytes: Range<usize>) {
        let Source::Checkpoint(checkpoint) = self else { return };
        let Ok(view) = checkpoint.tensor(name) else { return };
        checkpoint.release(&TensorView { data: &view.data[bytes], ..view });
    }
}
