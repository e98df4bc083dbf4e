//! How a shader reads and writes a float binding: which files of `wgsl/lib/formats` say it, and the numbers they need.

use super::{FORMATS, Part};
use crate::{
    dtype::{DType, Packs},
    pass::{Binding, Dispatch, Element},
    quant::{BLOCK, Planes, UNIT},
    wgpu::unroll::unroll,
};

/// What a shader does with a binding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Reads or writes quads as vectors of f32.
    Quads,
    /// Reads pieces of several quads.
    Pieces,
    /// Reads quads in two steps, or writes them, as vectors of f16.
    Fetches,
    /// Reads blocks as packed bytes.
    Codes,
    /// Writes packed rows.
    Stores,
}

/// What the files call these.
const USES: [(&str, Use); 5] = [
    ("QUADS", Use::Quads),
    ("PIECES", Use::Pieces),
    ("FETCHES", Use::Fetches),
    ("CODES", Use::Codes),
    ("STORES", Use::Stores),
];

/// A float binding of a launch.
pub(super) struct Bound<'a> {
    dispatch: &'a Dispatch,
    binding: &'static Binding,
    dtype: DType,
    /// Rows and width of a quantised matrix.
    shape: Option<[u32; 2]>,
    /// Whether the device has 16-bit floats.
    shader_f16: bool,
}

impl<'a> Bound<'a> {
    /// Binding `at` of a launch, if it has float elements.
    pub(super) fn of(dispatch: &'a Dispatch, at: usize, shader_f16: bool) -> Option<Self> {
        let (binding, dtype) = (&dispatch.kernel.bindings[at], dispatch.elements[at]);
        let shape = dtype.is_quantised().then(|| dispatch.shapes[at]);
        let float = !matches!(binding.element, Element::F32 | Element::U32);
        float.then_some(Self { dispatch, binding, dtype, shape, shader_f16 })
    }

    /// The functions through which the shader uses the binding.
    ///
    /// # Errors
    /// Those of [`unroll`].
    pub(super) fn text(&self) -> Result<String, String> {
        let (quantised, packed) = (self.shape.is_some(), self.dispatch.known("PACKED") == Some(1));
        match (self.binding.element, quantised) {
            (Element::Inputs, true) => self.file(self.format(), Use::Stores),
            (Element::Wide, true) if packed => self.file(self.format(), Use::Codes),
            (Element::Wide, _) => self.file(self.format(), Use::Pieces),
            (Element::Halves, _) if self.dtype.is_ggml() => {
                Ok(self.file(self.format(), Use::Quads)? + &self.file("quads_as_f16", Use::Fetches)?)
            }
            (Element::Halves, _) => self.file(self.format(), Use::Fetches),
            (Element::Heads | Element::Inputs, false) => {
                Ok(self.file(self.format(), Use::Quads)? + &self.file("float_writes", Use::Stores)?)
            }
            _ => self.file(self.format(), Use::Quads),
        }
    }

    /// The file of the binding's type.
    fn format(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::F32 | DType::U32 => "f32",
            DType::Q8 => "q8",
            DType::Q4 => "q4",
            DType::Q4_0 => "q4_0",
            DType::Q4K => "q4_k",
            DType::Q5K => "q5_k",
            DType::Q6K => "q6_k",
            DType::Q8Heads => "q8_heads",
            DType::Packed(_) => "packed",
        }
    }

    fn file(&self, name: &str, used: Use) -> Result<String, String> {
        let part = Part::of(FORMATS, name).ok_or_else(|| format!("wgsl/lib/formats has no {name}.wgsl"))?;
        let text = part.text.replace("$NAME", self.binding.name);
        let text = [("QUAD", 64), ("PAIR", 32), ("BLOCK", 8)]
            .into_iter()
            .fold(text, |text, (of, run)| text.replace(&format!("$UNIT_OF_{of}"), &self.unit(run)));
        unroll(part.file, &text, &|name| self.number(name, used).or_else(|| self.dispatch.known(name)))
    }

    /// The number of the unit of what has number `at`, `run` of which share one.
    fn unit(&self, run: u32) -> String {
        let Some([_, width]) = self.shape else { return String::new() };
        let row = width * run / UNIT as u32;
        match width.is_multiple_of(UNIT as u32) {
            true => format!("at / {run}u"),
            false => format!("at / {row}u * {}u + at % {row}u / {run}u", width.div_ceil(UNIT as u32)),
        }
    }

    /// What a name in a file of formats stands for.
    fn number(&self, name: &str, used: Use) -> Option<u32> {
        let number = |of: fn([u32; 2]) -> u32| self.shape.map(of);
        let plane = |plane: usize, unit: usize| Some((Planes::of(self.dtype, self.shape?).start[plane] / unit) as u32);
        match name {
            "USE" => Some(used as u32),
            "WRITES" => Some(self.binding.access.writes().into()),
            "KEEPS" => Some((self.binding.element == Element::Heads).into()),
            "STORES_QUADS" => Some((self.binding.element == Element::Inputs).into()),
            "SHADER_F16" => Some(self.shader_f16.into()),
            "EVEN_AND_ODD" => Some((self.dtype == DType::Packed(Packs::Nibbles)).into()),
            "PAIRS" => Some((self.dispatch.known("W_WIDE") == Some(2)).into()),
            "LOADS" => self.dispatch.known("WIDE").map(|wide| wide.div_ceil(2)),
            "SECOND_PLANE" => plane(1, 4),
            "SECOND_PLANE_VECTOR" => plane(1, 16),
            "THIRD_PLANE" => plane(2, 4),
            "HEAD_QUADS" => number(|[_, width]| width / 4),
            "HEAD_PIECES" => Some(self.shape?[1] / (4 * self.dispatch.known("WIDE")?)),
            "ROW_QUADS" => number(|[_, width]| width / BLOCK as u32 * 8),
            "ROW_BLOCKS" => number(|[_, width]| width / BLOCK as u32),
            "ROW_TWICE" => number(|[_, width]| width / BLOCK as u32 * 2),
            "ROW_THRICE" => number(|[_, width]| width / BLOCK as u32 * 3),
            "ROW_VECTORS" => number(|[_, width]| width / BLOCK as u32 * 4),
            _ => USES.iter().find(|(known, _)| *known == name).map(|(_, used)| *used as u32),
        }
    }
}
