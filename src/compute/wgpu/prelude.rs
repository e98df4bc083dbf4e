//! The prelude of a shader. WGSL has no includes and no element types as parameters; the prelude supplies both.
//!
//! The full text is: extensions, defines, functions that find, unpack and pack the elements of each float binding,
//! library parts, and the kernel's own text. The text before the library, with the kernel, is the pipeline's key.

mod formats;

use std::fmt::Write;

use super::unroll::unroll;
use crate::{
    compute::{
        caps::Caps,
        dtype::DType,
        kernel::{Dispatch, Element, RowsAre},
    },
    error::{Error, Result},
};
use formats::Bound;

/// A part of a shader that kernels share.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name: the file stem.
    pub name: &'static str,
    /// Its path in the repository.
    pub file: &'static str,
    /// Its text, with directives.
    pub text: &'static str,
}

macro_rules! parts {
    ($folder:literal, [$($name:literal),* $(,)?]) => {
        &[$(Part {
            name: $name,
            file: concat!($folder, $name, ".wgsl"),
            text: include_str!(concat!("../../../", $folder, $name, ".wgsl")),
        }),*]
    };
}

/// The shared parts of shaders.
pub const LIBRARY: &[Part] = parts!(
    "wgsl/lib/",
    [
        "activations",
        "chunks",
        "dots",
        "few_rows",
        "fragment_blocks",
        "ggml",
        "heads",
        "leader",
        "matrix_16",
        "matrix_8",
        "packed",
        "packing",
        "pages",
        "pieces",
        "quants",
        "reduce",
        "reduce_subgroup",
        "scales",
        "splits",
        "sums",
        "sums_subgroup",
        "team",
        "team_subgroup",
        "step",
        "triangle",
    ]
);

/// How shaders read and write elements, one file per format. `$NAME` stands for the name of a binding.
pub const FORMATS: &[Part] = parts!(
    "wgsl/lib/formats/",
    [
        "bf16",
        "f16",
        "f32",
        "float_writes",
        "packed",
        "q4",
        "q4_0",
        "q4_k",
        "q5_k",
        "q6_k",
        "q8",
        "q8_heads",
        "quads_as_f16",
        "words",
    ]
);

impl Part {
    fn of(parts: &[Part], name: &str) -> Option<Part> {
        parts.iter().find(|part| part.name == name).copied()
    }
}

/// The text that specializes the shader of a dispatch: extensions, defines, and the quads of its float bindings.
///
/// # Errors
/// [`Error::Shader`] if a shared part has an invalid directive.
pub fn prelude(dispatch: &Dispatch, caps: &Caps) -> Result<String> {
    let mut text = String::new();
    if caps.half {
        text.push_str("enable f16;\n");
    }
    if dispatch.kernel.library.contains(&"matrix") {
        text.push_str("enable wgpu_cooperative_matrix;\n");
    }
    for (name, value) in &dispatch.defines {
        _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    _ = writeln!(text, "const LANES: u32 = {}u;", dispatch.lanes);
    if let Some([min_subgroup, _]) = caps.subgroup {
        _ = writeln!(text, "const SUBGROUP: u32 = {min_subgroup}u;");
    }
    if dispatch.kernel.bindings.iter().any(|binding| binding.element == Element::Vec16B) {
        text.push_str("alias Piece = array<vec4<f32>, WIDE>;\n");
    }
    let any = |of: fn(&DType) -> bool| dispatch.elements.iter().any(of);
    let packing = multiplies_bytes(dispatch) || any(|dtype| matches!(dtype, DType::Packed(_)));
    for (part, used) in
        [("quants", any(|dtype| dtype.is_quantized())), ("packing", packing), ("ggml", any(|dtype| dtype.is_ggml()))]
    {
        if used {
            text.push_str(&shared(dispatch, part)?);
        }
    }
    for bound in (0..dispatch.elements.len()).filter_map(|at| Bound::of(dispatch, at, caps.half)) {
        text.push_str(&bound.text().map_err(|log| refused(dispatch, log))?);
    }
    Ok(text)
}

/// The full shader text of a dispatch.
///
/// # Errors
/// [`Error::Shader`] if the kernel asks for a part that the library lacks, or has an invalid directive.
pub fn shader(dispatch: &Dispatch, caps: &Caps) -> Result<String> {
    let kernel = dispatch.kernel;
    let mut text = prelude(dispatch, caps)?;
    for name in kernel.library {
        text.push_str(&shared(dispatch, variant(dispatch, caps, name))?);
    }
    let own = unroll(&format!("wgsl/{}.wgsl", kernel.name), kernel.source.wgsl, &|name| value(dispatch, name));
    Ok(text + &own.map_err(|log| refused(dispatch, log))?)
}

/// The text of a library part.
fn shared(dispatch: &Dispatch, name: &str) -> Result<String> {
    let missing = || refused(dispatch, format!("the shader library has no part {name}"));
    let part = Part::of(LIBRARY, name).ok_or_else(missing)?;
    unroll(part.file, part.text, &|name| value(dispatch, name)).map_err(|log| refused(dispatch, log))
}

/// The variant of a library part that suits the device.
fn variant<'a>(dispatch: &Dispatch, caps: &Caps, name: &'a str) -> &'a str {
    let in_subgroup =
        |[min_subgroup, _]: [u32; 2]| dispatch.find_define("TEAM").is_some_and(|team| team <= min_subgroup);
    match name {
        "reduce" if caps.subgroup.is_some() => "reduce_subgroup",
        "sums" if caps.subgroup.is_some() => "sums_subgroup",
        "team" if caps.subgroup.is_some_and(in_subgroup) => "team_subgroup",
        "matrix" if caps.matrix_units == Some(8) => "matrix_8",
        "matrix" => "matrix_16",
        name => name,
    }
}

/// Whether a product of few rows multiplies packed bytes.
fn multiplies_bytes(dispatch: &Dispatch) -> bool {
    dispatch.find_define("ROWS_ARE").is_some_and(|rows_are| rows_are != RowsAre::Floats as u32)
}

/// The value of a name in a directive: a define of the dispatch, or a constant.
fn value(dispatch: &Dispatch, name: &str) -> Option<u32> {
    let constant = || RowsAre::NAMES.iter().find(|(known, _)| *known == name).map(|(_, rows_are)| *rows_are as u32);
    dispatch.find_define(name).or_else(constant)
}

fn refused(dispatch: &Dispatch, log: String) -> Error {
    Error::Shader { kernel: dispatch.label(), log }
}
