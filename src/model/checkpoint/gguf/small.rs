//! Small tensors that GGUF files store in another form.

use std::path::Path;

use super::super::{directory::Stored, names::block};
use crate::{Error, Result, model::weights::convert::widen};

/// The inverse of a GGUF convention.
#[derive(Clone, Copy)]
enum Undo {
    /// Maps 1 + w to w: kernels add the one. Exact for every f32 result of 1 + w.
    One,
    /// Maps −exp(A_log) to A_log.
    Decay,
}

/// The conversion for a tensor of this name. The norm inside a DeltaNet is a plain weight in all files.
fn undo(name: &str) -> Option<Undo> {
    match block(name).map_or(name, |(_, rest)| rest) {
        "ssm_a" => Some(Undo::Decay),
        "ssm_norm.weight" => None,
        rest => rest.ends_with("norm.weight").then_some(Undo::One),
    }
}

/// The f32 bytes of a converted tensor; `None` if the tensor needs no conversion.
pub(super) fn converted(name: &str, stored: &Stored, file: &[u8], path: &Path) -> Result<Option<Vec<u8>>> {
    let dtype = stored.encoding.dtype().filter(|dtype| !dtype.is_quantized());
    let (Some(undo), Some(dtype)) = (undo(name), dtype) else { return Ok(None) };
    let data = &file[stored.range.clone()];
    let mut values = vec![0.0; data.len() / dtype.bytes() as usize];
    widen(dtype, data, &mut values);
    match undo {
        Undo::One => values.iter_mut().for_each(|value| *value -= 1.0),
        Undo::Decay => {
            // NaN also fails this comparison.
            if let Some(at) = values.iter().position(|value| !(value.is_finite() && *value < 0.0)) {
                let want = "−exp(A_log), finite and below zero".to_owned();
                let got = format!("{} at {at}", values[at]);
                return Err(Error::Tensor { file: path.into(), name: name.into(), want, got });
            }
            values.iter_mut().for_each(|value| *value = f64::from(-*value).ln() as f32);
        }
    }
    Ok(Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()))
}
