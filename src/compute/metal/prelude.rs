//! The prelude of a Metal shader: the specialization for a dispatch, and the shared parts that the kernel uses.
//!
//! The full text is: headers, defines, functions that unpack and pack quads, the element type of each float binding,
//! library parts, and the kernel's own text. The full text is the pipeline's key.

use std::fmt::Write;

use crate::{
    compute::{
        dtype::{DType, Planes, UNIT},
        kernel::{Dispatch, Element},
    },
    error::{Error, Result},
};

/// Lanes of a SIMD group, on every Metal GPU.
pub const SIMD: u32 = 32;

macro_rules! parts {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../msl/lib/", $name, ".metal")))),*]
    };
}

/// The shared parts of Metal shaders, by name.
pub const LIBRARY: &[(&str, &str)] = parts![
    "activations",
    "chunks",
    "dots",
    "ggml",
    "heads",
    "leader",
    "matrix",
    "pages",
    "pieces",
    "quads",
    "quants",
    "reduce",
    "scales",
    "splits",
    "step",
    "sums",
    "team",
    "triangle"
];

/// Library parts that a kernel's WGSL needs and its MSL does not, with the reason.
pub const ABSENT: &[(&str, &str)] = &[
    ("few_rows", "what a product reads of its rows is a member of the kernel's `Operands`"),
    ("fragment_blocks", "a SIMD group has whole rows of fragments, in an array"),
    ("packed", "no instruction of Apple's GPUs multiplies packed bytes"),
];

/// The pragma keeps Apple's compiler from fusing a product and a sum of one expression into an `fma`. No option does.
const HEADERS: &str = "#include <metal_stdlib>\n#include <metal_simdgroup_matrix>\n\
    #pragma METAL fp contract(off)\nusing namespace metal;\n";

/// The full shader text of a dispatch.
///
/// # Errors
/// [`Error::Shader`] if the kernel has no MSL, or asks for a part that the library lacks.
pub fn shader(dispatch: &Dispatch) -> Result<String> {
    let refused = |log: String| Error::Shader { kernel: dispatch.label(), log };
    let own =
        dispatch.kernel.source.msl.ok_or_else(|| refused("it has no text in the Metal Shading Language".into()))?;
    let mut text = HEADERS.to_owned();
    for (name, value) in &dispatch.defines {
        _ = writeln!(text, "constant constexpr uint {name} = {value};");
    }
    _ = writeln!(text, "constant constexpr uint LANES = {};\nconstant constexpr uint SIMD = {SIMD};", dispatch.lanes);
    let part = |name: &str| LIBRARY.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    text.push_str(part("quads").unwrap_or_default());
    if dispatch.elements.iter().any(|dtype| dtype.is_quantized()) {
        text.push_str(part("quants").unwrap_or_default());
    }
    if dispatch.elements.iter().any(|dtype| dtype.is_ggml()) {
        text.push_str(part("ggml").unwrap_or_default());
    }
    for (at, binding) in dispatch.kernel.bindings.iter().enumerate() {
        if !matches!(binding.element, Element::F32 | Element::U32) {
            let dtype = dispatch.elements[at];
            let stored = match dtype.is_quantized() {
                true => quantized(dtype, dispatch.shapes[at]),
                false => quad(dtype).to_owned(),
            };
            _ = writeln!(text, "typedef {stored} Quad_{};", binding.name);
        }
    }
    for name in dispatch.kernel.library {
        if !ABSENT.iter().any(|(absent, _)| absent == name) {
            let missing = || refused(format!("the Metal shader library has no part {name}"));
            text.push_str(part(name).ok_or_else(missing)?);
        }
    }
    text.push_str(own);
    Ok(text)
}

/// The type of four elements in memory.
fn quad(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float4",
        DType::F16 => "half4",
        DType::Bf16 => "Bf16x4",
        _ => "uint4",
    }
}

/// The type of a word of quantized data. Parameters: the start of the other planes, in words, and the units of a row.
fn quantized(dtype: DType, shape: [u32; 2]) -> String {
    let [_, words, units] = Planes::of(dtype, shape).start.map(|byte| byte / 4);
    match dtype {
        DType::Q8 => format!("Bytes<{words}>"),
        DType::Q4_0 => format!("Blocks4<{words}>"),
        DType::Q4K => format!("Supers4<{words}>"),
        DType::Q5K => format!("Supers5<{words}, {units}>"),
        DType::Q6K => format!("Supers6<{words}, {units}>"),
        DType::Q8Heads => format!("HeadBytes<{words}, {}>", shape[1] / 4),
        _ => format!("Nibbles<{words}, {units}, {}, {}>", shape[1] / 4, shape[1].div_ceil(UNIT as u32)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::compute::{
        cost::Cost,
        kernel::{Binding, Kernel, Source},
    };

    static ADD: Kernel = Kernel {
        name: "add",
        bindings: &[
            Binding::read("x", Element::Float),
            Binding::read("w", Element::Vec16B),
            Binding::read("half", Element::F16),
            Binding::read("step", Element::U32),
            Binding::write("y", Element::F32),
        ],
        params: &[],
        library: &[],
        lanes: 32,
        source: Source { wgsl: "", msl: Some("kernel void add() {}\n"), proven: false },
        cpu: |_| {},
        cost: |_, _| Cost::default(),
    };

    fn dispatch(kernel: &'static Kernel) -> Dispatch {
        Dispatch {
            kernel,
            defines: vec![("K", 1024), ("A", 1)],
            resources: Vec::new(),
            elements: vec![DType::F32, DType::Bf16, DType::F16, DType::U32, DType::F32],
            shapes: Vec::new(),
            params: Vec::new(),
            lanes: 64,
            grid: [1; 3],
            barrier: false,
        }
    }

    #[test]
    fn what_a_dispatch_specializes_comes_before_its_text() {
        let text = shader(&dispatch(&ADD)).unwrap();
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
        let defines = ["K = 1024;", "A = 1;", "LANES = 64;", "SIMD = 32;"];
        assert_eq!(lines("constant"), defines.map(|define| format!("constant constexpr uint {define}")));
        assert_eq!(lines("typedef"), ["typedef float4 Quad_x;", "typedef Bf16x4 Quad_w;", "typedef half4 Quad_half;"]);
        assert!(text.starts_with("#include <metal_stdlib>\n") && text.ends_with("kernel void add() {}\n"), "{text}");
        let pragma = text.find("#pragma METAL fp contract(off)").unwrap();
        assert!(pragma < text.find("constant").unwrap(), "no code before contraction is off");
        assert!(text.find("struct Bf16x4").unwrap() < text.find("typedef").unwrap(), "declared before it is used");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_the_kernel() {
        static WITHOUT: Kernel = Kernel { name: "without", source: Source::wgsl(""), ..ADD };
        static NOWHERE: Kernel = Kernel { name: "nowhere", library: &["elsewhere"], ..ADD };
        for (kernel, expected) in [(&WITHOUT, "Metal Shading Language"), (&NOWHERE, "elsewhere")] {
            let Err(Error::Shader { kernel: label, log }) = shader(&dispatch(kernel)) else { panic!("{expected}") };
            assert_eq!(label, format!("{}[K=1024 A=1]", kernel.name));
            assert!(log.contains(expected), "{log}");
        }
    }
}
