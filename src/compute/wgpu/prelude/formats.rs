//! How a shader reads and writes a float binding: the files of `wgsl/lib/formats` it takes, and the numbers they need.

use super::{FORMATS, Part, multiplies_bytes};
use crate::compute::{
    dtype::{BLOCK, DType, Packs, Planes, UNIT},
    kernel::{Binding, Dispatch, Element},
    wgpu::unroll::unroll,
};

/// How a shader uses a binding.
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

/// The names of the uses in the files.
const USES: [(&str, Use); 5] = [
    ("QUADS", Use::Quads),
    ("PIECES", Use::Pieces),
    ("FETCHES", Use::Fetches),
    ("CODES", Use::Codes),
    ("STORES", Use::Stores),
];

/// A float binding of a dispatch.
pub(super) struct Bound<'a> {
    dispatch: &'a Dispatch,
    binding: &'static Binding,
    dtype: DType,
    /// Rows and width of a quantized matrix.
    shape: Option<[u32; 2]>,
    /// Whether the device has 16-bit floats.
    shader_f16: bool,
}

impl<'a> Bound<'a> {
    /// Binding `at` of a dispatch, if it has float elements.
    pub(super) fn of(dispatch: &'a Dispatch, at: usize, shader_f16: bool) -> Option<Self> {
        let (binding, dtype) = (&dispatch.kernel.bindings[at], dispatch.elements[at]);
        let shape = dtype.is_quantized().then(|| dispatch.shapes[at]);
        let float = !matches!(binding.element, Element::F32 | Element::U32);
        float.then_some(Self { dispatch, binding, dtype, shape, shader_f16 })
    }

    /// The functions with which the shader accesses the binding.
    ///
    /// # Errors
    /// Those of [`unroll`].
    pub(super) fn text(&self) -> Result<String, String> {
        let mut text = String::new();
        for (file, used) in self.files() {
            text.push_str(&self.file(file, used)?);
        }
        Ok(text)
    }

    /// The files to include, and the use of each.
    fn files(&self) -> Vec<(&'static str, Use)> {
        let (format, quantized) = (self.format(), self.shape.is_some());
        let of_format = |used| match self.dtype {
            DType::Q8 | DType::Q4 => vec![("words", used), (format, used)],
            dtype if dtype.is_ggml() => vec![("words", used), (format, used)],
            _ => vec![(format, used)],
        };
        match (self.binding.element, quantized) {
            (Element::Activations, true) => of_format(Use::Stores),
            (Element::Vec16B, true) if multiplies_bytes(self.dispatch) => of_format(Use::Codes),
            (Element::Vec16B, _) => of_format(Use::Pieces),
            (Element::MatrixOperand, _) if self.dtype.is_ggml() => {
                [of_format(Use::Quads), vec![("quads_as_f16", Use::Fetches)]].concat()
            }
            (Element::MatrixOperand, _) => of_format(Use::Fetches),
            (Element::KvRows | Element::Activations, false) => {
                vec![(format, Use::Quads), ("float_writes", Use::Stores)]
            }
            _ => of_format(Use::Quads),
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
        unroll(part.file, &text, &|name| self.number(name, used).or_else(|| self.dispatch.find_define(name)))
    }

    /// The value of a name in a format file.
    fn number(&self, name: &str, used: Use) -> Option<u32> {
        let width = self.shape.map(|[_, width]| width);
        let plane = |plane: usize, unit: usize| Some((Planes::of(self.dtype, self.shape?).start[plane] / unit) as u32);
        match name {
            "USE" => Some(used as u32),
            "WRITES" => Some(self.binding.access.writes().into()),
            "KEEPS" => Some((self.binding.element == Element::KvRows).into()),
            "STORES_QUADS" => Some((self.binding.element == Element::Activations).into()),
            "SHADER_F16" => Some(self.shader_f16.into()),
            "EVEN_AND_ODD" => Some((self.dtype == DType::Packed(Packs::Nibbles)).into()),
            "PAIRS" => Some((self.dispatch.find_define("W_WIDE") == Some(2)).into()),
            "LOADS" => self.dispatch.find_define("WIDE").map(|wide| wide.div_ceil(2)),
            "SECOND_PLANE" => plane(1, 4),
            "SECOND_PLANE_VECTOR" => plane(1, 16),
            "THIRD_PLANE" => plane(2, 4),
            "HEAD_QUADS" => Some(width? / 4),
            "HEAD_PIECES" => Some(width? / (4 * self.dispatch.find_define("WIDE")?)),
            "ROW_BLOCKS" => Some(width? / BLOCK as u32),
            "ROW_UNITS" => Some(width?.div_ceil(UNIT as u32)),
            "WHOLE_UNITS" => Some(width?.is_multiple_of(UNIT as u32).into()),
            "VECTORS" => Some(matches!(used, Use::Pieces | Use::Codes).into()),
            _ => USES.iter().find(|(known, _)| *known == name).map(|(_, used)| *used as u32),
        }
    }
}
