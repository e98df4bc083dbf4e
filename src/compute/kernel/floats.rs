//! A range of elements of any float type, read as f32.

use half::{bf16, f16};

use crate::compute::formats::Row;

/// The elements that a kernel's plain loop reads.
#[derive(Clone, Copy)]
pub enum Floats<'a> {
    /// f32 values.
    F32(&'a [f32]),
    /// f16 values.
    F16(&'a [f16]),
    /// bf16 values.
    Bf16(&'a [bf16]),
    /// A row of quantized weights.
    Quantized(Row<'a>),
}

/// Partial sums of a dot product: enough for a vector unit, and the same number for every kernel.
const SUMS: usize = 16;

impl Floats<'_> {
    /// Number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Floats::F32(values) => values.len(),
            Floats::F16(values) => values.len(),
            Floats::Bf16(values) => values.len(),
            Floats::Quantized(row) => row.len(),
        }
    }

    /// One element.
    pub fn get(&self, at: usize) -> f32 {
        match self {
            Floats::F32(values) => values[at],
            Floats::F16(values) => values[at].to_f32(),
            Floats::Bf16(values) => values[at].to_f32(),
            Floats::Quantized(_) => self.to_vec()[at],
        }
    }

    /// All elements.
    pub fn to_vec(&self) -> Vec<f32> {
        match self {
            Floats::F32(values) => values.to_vec(),
            Floats::F16(values) => {
                let mut out = vec![0.0; values.len()];
                half::slice::HalfFloatSliceExt::convert_to_f32_slice(*values, &mut out);
                out
            }
            Floats::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Floats::Quantized(row) => row.to_vec(),
        }
    }

    /// sums\[i\] += weight · self\[i\]
    pub fn add_to(&self, sums: &mut [f32], weight: f32) {
        let scaled = |sum: &mut f32, value: f32| *sum += weight * value;
        match self {
            Floats::F32(values) => sums.iter_mut().zip(*values).for_each(|(sum, value)| scaled(sum, *value)),
            _ => sums.iter_mut().zip(self.to_vec()).for_each(|(sum, value)| scaled(sum, value)),
        }
    }

    /// Σ self\[i\] · x\[i\], in an order that depends only on the length.
    pub fn dot(&self, x: &[f32]) -> f32 {
        match self {
            Floats::F32(values) => dot(values, x, |value| *value),
            Floats::F16(_) | Floats::Quantized(_) => dot(&self.to_vec(), x, |value| *value),
            Floats::Bf16(values) => dot(values, x, |value| f32::from_bits(u32::from(value.to_bits()) << 16)),
        }
    }
}

fn dot<E>(values: &[E], x: &[f32], read: impl Fn(&E) -> f32) -> f32 {
    assert_eq!(values.len(), x.len(), "dot: lengths");
    let mut sums = [0.0; SUMS];
    let (runs, runs_x) = (values.chunks_exact(SUMS), x.chunks_exact(SUMS));
    for (sum, (value, x)) in sums.iter_mut().zip(runs.remainder().iter().zip(runs_x.remainder())) {
        *sum = read(value) * x;
    }
    for (run, run_x) in runs.zip(runs_x) {
        for i in 0..SUMS {
            sums[i] += read(&run[i]) * run_x[i];
        }
    }
    let mut width = SUMS;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}
