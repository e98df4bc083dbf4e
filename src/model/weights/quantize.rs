//! Quantizes weights, for a device or for a file.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use super::convert::{Found, widen};
use crate::{
    compute::{
        dtype::{BLOCK, DType, PLANES, Planes},
        formats::{self, Blocks, Row, Scales, Unfit},
        memory::Buffer,
    },
    error::{Error, Result},
    model::checkpoint::Checkpoint,
};

/// Rows per thread task.
const PORTION: usize = 8;

/// Whether a matrix of this name and width may be quantized: all large ones with rows of whole blocks. The DeltaNet's
/// gate projections stay: they are small, and a decay error grows with every token.
pub(in crate::model) fn is_quantized(name: &str, width: u32) -> bool {
    let gates = ["in_proj_a.weight", "in_proj_b.weight"].iter().any(|gate| name.ends_with(gate));
    !gates && (width as usize).is_multiple_of(BLOCK)
}

/// Checks that a checkpoint's weights can be brought to a format: they must not have another quantized format.
pub(in crate::model) fn require_original(checkpoint: &Checkpoint, wanted: DType) -> Result<()> {
    // A GGUF file may have only some matrices in the requested format.
    let found = checkpoint.quantized().filter(|found| *found != wanted || checkpoint.is_gguf());
    found.map_or(Ok(()), |found| {
        let place = checkpoint.path().display();
        Err(Error::Request(format!("{place}: its weights are {found} already; {wanted} needs the original checkpoint")))
    })
}

/// A quantized tensor during its upload.
pub(in crate::model) struct Target {
    pub(in crate::model) buffer: Arc<Buffer>,
    pub(in crate::model) planes: Planes,
    /// The scale planes: block words, then units.
    pub(in crate::model) words: Vec<u8>,
    pub(in crate::model) units: Vec<u8>,
}

impl Target {
    pub(in crate::model) fn new(buffer: &Arc<Buffer>, planes: Planes) -> Self {
        let [_, words, units] = planes.start;
        let (words, units) = (vec![0; units - words], vec![0; planes.bytes as usize - units]);
        Self { buffer: buffer.clone(), planes, words, units }
    }

    /// The block words and units of some rows.
    pub(in crate::model) fn scales(&mut self, row: usize, rows: usize) -> [&mut [u8]; 2] {
        let [_, words, units] = self.planes.row.map(|bytes| row * bytes..(row + rows) * bytes);
        [&mut self.words[words], &mut self.units[units]]
    }
}

/// Stored rows of weights, and their target type.
#[derive(Clone, Copy)]
pub(in crate::model) struct Weighted<'a> {
    pub(in crate::model) from: DType,
    /// A quantized type; equal to `from` if `from` is quantized.
    pub(in crate::model) to: DType,
    pub(in crate::model) width: u32,
    /// Floats, or codes.
    pub(in crate::model) data: &'a [u8],
    pub(in crate::model) scales: Scales<'a>,
}

impl Weighted<'_> {
    /// Bytes of a stored row, without separate scales.
    pub(in crate::model) fn row_bytes(&self) -> usize {
        self.scales.row_bytes(self.from, self.width)
    }

    /// Number of rows.
    pub(in crate::model) fn rows(&self) -> usize {
        self.data.len() / self.row_bytes()
    }

    /// The largest magnitude of the stored floats.
    pub(in crate::model) fn largest(&self) -> f32 {
        let rows = self.data.par_chunks(self.row_bytes()).with_min_len(PORTION).map_init(
            || vec![0.0; self.width as usize],
            |f32s, row| {
                widen(self.from, row, f32s);
                f32s.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()))
            },
        );
        rows.reduce(|| 0.0, f32::max)
    }

    /// Converts some rows into each plane, on all cores, and returns whether their weights fit. The planes are valid
    /// only if all fit.
    pub(in crate::model) fn convert(
        &self,
        rows: Range<usize>,
        codes: &mut [u8],
        [words, units]: [&mut [u8]; 2],
    ) -> Found {
        let [per_codes, per_words, per_units] = Planes::of(self.to, [1, self.width]).row;
        let mut unit_rows: Vec<&mut [u8]> = units.chunks_mut(per_units.max(1)).collect();
        // An absent plane has empty rows.
        unit_rows.resize_with(rows.len(), Default::default);
        let planes = codes.par_chunks_mut(per_codes).zip(words.par_chunks_mut(per_words)).zip(unit_rows);
        let found = planes.zip(rows).with_min_len(PORTION).map_init(
            || vec![0.0; self.width as usize],
            |f32s, (((codes, words), units), row)| self.row(row, [codes, words, units], f32s),
        );
        found.max().unwrap_or(Found::Fit)
    }

    fn row(&self, row: usize, planes: [&mut [u8]; PLANES], f32s: &mut [f32]) -> Found {
        let stored = &self.data[row * self.row_bytes()..(row + 1) * self.row_bytes()];
        if !self.from.is_quantized() {
            widen(self.from, stored, f32s);
            return match formats::quantize(self.to, f32s, planes) {
                Ok(()) => Found::Fit,
                Err(Unfit::Wide) => Found::Wide,
                Err(Unfit::NotFinite) => Found::NotFinite,
            };
        }
        let [codes, words, units] = planes;
        let fit = match self.scales {
            Scales::Within => {
                formats::split(self.from, stored, [codes, words, units]);
                Blocks::of(self.from).find_unfit(stored).is_none()
            }
            Scales::Apart([from_words, from_units]) => {
                let of_row = |bytes: usize| row * bytes..(row + 1) * bytes;
                codes.copy_from_slice(stored);
                words.copy_from_slice(&from_words[of_row(words.len())]);
                units.copy_from_slice(&from_units[of_row(units.len())]);
                Row { dtype: self.from, planes: [codes, words, units] }.is_finite()
            }
        };
        if fit { Found::Fit } else { Found::NotFinite }
    }
}
