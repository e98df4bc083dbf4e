//! The difference between two tensors, element by element.

use half::{bf16, f16};

use crate::compute::{
    dtype::{DType, Planes},
    formats::Row,
};

/// Larger magnitudes count as infinity. Shaders mask with a very negative number in place of −∞, because some element
/// types cannot hold it.
const ENDLESS: f64 = 1e37;

/// The largest difference of two tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// For floats: relative to the reference's largest finite value; infinite if only one side is NaN. For words: 0 or
    /// infinite.
    pub error: f64,
    /// Index of the element with the largest error, over all rows.
    pub at: usize,
    /// The reference's value at this index.
    pub wanted: f64,
    /// The other value at this index.
    pub found: f64,
}

impl Difference {
    /// Compares tensors of the same type and shape, given as bytes.
    pub(super) fn between((dtype, shape): (DType, [u32; 2]), wanted: &[u8], found: &[u8]) -> Self {
        let [wanted, found] = [wanted, found].map(|bytes| values((dtype, shape), bytes));
        let largest = wanted.iter().map(|value| value.abs()).filter(|size| *size < ENDLESS).fold(0.0, f64::max);
        let scale = if dtype == DType::U32 { 0.0 } else { largest.max(f64::from(f32::MIN_POSITIVE)) };
        let errors = wanted.iter().zip(&found).map(|(wanted, found)| error(*wanted, *found, scale));
        let worst = errors.enumerate().reduce(|worst, next| if next.1 > worst.1 { next } else { worst });
        let (at, error) = worst.unwrap_or((0, 0.0));
        let value = |values: &[f64]| values.get(at).copied().unwrap_or(0.0);
        Self { error, at, wanted: value(&wanted), found: value(&found) }
    }
}

/// The difference of two values relative to `scale`; zero if both are NaN, or both infinite with the same sign.
fn error(wanted: f64, found: f64, scale: f64) -> f64 {
    let alike = wanted == found
        || wanted.is_nan() && found.is_nan()
        || wanted.min(found) > ENDLESS
        || wanted.max(found) < -ENDLESS;
    match alike {
        true => 0.0,
        false if (wanted - found).is_nan() => f64::INFINITY,
        false => (wanted - found).abs() / scale,
    }
}

/// The elements as f64, exact for every element type.
fn values((dtype, shape): (DType, [u32; 2]), bytes: &[u8]) -> Vec<f64> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    let quads = || bytes.as_chunks::<4>().0.iter();
    match dtype {
        DType::F32 => quads().map(|quad| f64::from(f32::from_le_bytes(*quad))).collect(),
        DType::U32 => quads().map(|quad| f64::from(u32::from_le_bytes(*quad))).collect(),
        DType::Q8Heads => {
            let planes = Planes::of(dtype, shape);
            let row = |row| Row { dtype, planes: planes.row(row as usize).map(|range| &bytes[range]) };
            (0..shape[0]).flat_map(|at| row(at).to_vec()).map(f64::from).collect()
        }
        DType::F16 => pairs().map(|pair| f16::from_le_bytes(*pair).to_f64()).collect(),
        DType::Bf16 => pairs().map(|pair| bf16::from_le_bytes(*pair).to_f64()).collect(),
        _ => panic!("no kernel writes quantized weights"),
    }
}
