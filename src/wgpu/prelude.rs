//! The text before a shader. WGSL has neither includes nor element types as parameters; this is where both come from.
//!
//! The whole text is: extensions, defines, how each float binding's quads are unpacked and packed, library parts, and
//! the kernel's own text. Everything before the library is the pipeline's key, together with the kernel.

use std::fmt::Write;

use super::unroll::unroll;
use crate::{
    backend::Caps,
    dtype::DType,
    error::{Error, Result},
    pass::{Dispatch, Element},
};

/// The shared parts of shaders, by name.
pub const LIBRARY: &[(&str, &str)] = &[
    ("activations", include_str!("../../wgsl/lib/activations.wgsl")),
    ("chunks", include_str!("../../wgsl/lib/chunks.wgsl")),
    ("dots", include_str!("../../wgsl/lib/dots.wgsl")),
    ("leader", include_str!("../../wgsl/lib/leader.wgsl")),
    ("matrix_16", include_str!("../../wgsl/lib/matrix_16.wgsl")),
    ("matrix_8", include_str!("../../wgsl/lib/matrix_8.wgsl")),
    ("pages", include_str!("../../wgsl/lib/pages.wgsl")),
    ("pieces", include_str!("../../wgsl/lib/pieces.wgsl")),
    ("reduce", include_str!("../../wgsl/lib/reduce.wgsl")),
    ("reduce_subgroup", include_str!("../../wgsl/lib/reduce_subgroup.wgsl")),
    ("splits", include_str!("../../wgsl/lib/splits.wgsl")),
    ("sums", include_str!("../../wgsl/lib/sums.wgsl")),
    ("sums_subgroup", include_str!("../../wgsl/lib/sums_subgroup.wgsl")),
    ("team", include_str!("../../wgsl/lib/team.wgsl")),
    ("team_subgroup", include_str!("../../wgsl/lib/team_subgroup.wgsl")),
    ("step", include_str!("../../wgsl/lib/step.wgsl")),
    ("triangle", include_str!("../../wgsl/lib/triangle.wgsl")),
];

/// What specialises a launch's shader: extensions, defines, and the quads of its float bindings.
pub fn prelude(dispatch: &Dispatch, caps: &Caps) -> String {
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
    if let Some([least, _]) = caps.subgroup {
        _ = writeln!(text, "const SUBGROUP: u32 = {least}u;");
    }
    if dispatch.kernel.bindings.iter().any(|binding| binding.element == Element::Wide) {
        text.push_str("alias Piece = array<vec4<f32>, WIDE>;\n");
    }
    for (binding, dtype) in dispatch.kernel.bindings.iter().zip(&dispatch.elements) {
        match binding.element {
            Element::Float | Element::F16 => {
                quad(&mut text, (binding.name, *dtype), binding.access.writes(), caps.half);
            }
            Element::Wide => piece(&mut text, (binding.name, *dtype), dispatch.define("WIDE")),
            Element::F32 | Element::U32 => {}
        }
    }
    text
}

/// The whole text of a launch's shader.
///
/// # Errors
/// [`Error::Shader`] if the kernel asks for a part that the library does not have, or repeats lines by what is no define.
pub fn shader(dispatch: &Dispatch, caps: &Caps) -> Result<String> {
    let mut text = prelude(dispatch, caps);
    for name in dispatch.kernel.library {
        let name = match *name {
            "reduce" if caps.subgroup.is_some() => "reduce_subgroup",
            "sums" if caps.subgroup.is_some() => "sums_subgroup",
            "team"
                if caps.subgroup.is_some_and(|[least, _]| dispatch.known("TEAM").is_some_and(|team| team <= least)) =>
            {
                "team_subgroup"
            }
            "matrix" if caps.matrix_units == Some(8) => "matrix_8",
            "matrix" => "matrix_16",
            name => name,
        };
        let part = LIBRARY.iter().find(|(known, _)| *known == name).ok_or_else(|| Error::Shader {
            kernel: dispatch.label(),
            log: format!("the shader library has no part {name}"),
        })?;
        text.push_str(part.1);
    }
    text.push_str(dispatch.kernel.source.wgsl);
    let broken = |log| Error::Shader { kernel: dispatch.label(), log };
    unroll(&text, &|name| dispatch.known(name)).map_err(broken)
}

/// Four elements as they lie in memory, and their way to and from f32.
fn quad(text: &mut String, (name, dtype): (&str, DType), writes: bool, half: bool) {
    let (stored, unpacked) = match dtype {
        DType::F16 if half => ("vec4<f16>", "vec4<f32>(quad)"),
        DType::F16 => ("vec2<u32>", "vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y))"),
        DType::Bf16 => (
            "vec2<u32>",
            "bitcast<vec4<f32>>(vec4<u32>(quad.x << 16u, quad.x & 0xffff0000u, quad.y << 16u, quad.y & 0xffff0000u))",
        ),
        DType::F32 | DType::U32 => ("vec4<f32>", "quad"),
    };
    _ = writeln!(text, "alias Quad_{name} = {stored};");
    _ = writeln!(text, "fn unpack_{name}(quad: Quad_{name}) -> vec4<f32> {{ return {unpacked}; }}");
    if !writes || dtype == DType::Bf16 {
        return;
    }
    _ = writeln!(text, "fn pack_{name}(value: vec4<f32>) -> Quad_{name} {{");
    if dtype == DType::F16 {
        // Halves saturate instead of becoming infinite. What clamp makes of NaN is the driver's choice, so NaN passes
        // by it, and is told by its bits because compilers may assume that there is none.
        text.push_str("    let nan = (bitcast<vec4<u32>>(value) & vec4(0x7fffffffu)) > vec4(0x7f800000u);\n");
        text.push_str("    let bounded = select(clamp(value, vec4(-65504.0), vec4(65504.0)), value, nan);\n");
    }
    let packed = match dtype {
        DType::F16 if half => "vec4<f16>(bounded)",
        DType::F16 => "vec2<u32>(pack2x16float(bounded.xy), pack2x16float(bounded.zw))",
        _ => "value",
    };
    _ = writeln!(text, "    return {packed};\n}}");
}

/// WIDE quads that lie side by side, and how they are loaded from a binding: as one where they have 16 bits.
fn piece(text: &mut String, (name, dtype): (&str, DType), wide: u32) {
    let words = if wide == 1 { "vec2<u32>" } else { "vec4<u32>" };
    let halves = |[x, y]: [&str; 2]| match dtype {
        DType::F16 => format!("vec4(unpack2x16float(words.{x}), unpack2x16float(words.{y}))"),
        _ => format!(
            "bitcast<vec4<f32>>(vec4(words.{x} << 16u, words.{x} & 0xffff0000u, words.{y} << 16u, words.{y} & 0xffff0000u))"
        ),
    };
    let single = |i: u32| format!("{name}[at * WIDE + {i}u]");
    let (stored, quads): (_, Vec<_>) = match dtype {
        DType::F32 | DType::U32 => ("vec4<f32>", (0..wide).map(single).collect()),
        _ => (words, [["x", "y"], ["z", "w"]][..wide as usize].iter().map(|pair| halves(*pair)).collect()),
    };
    _ = writeln!(text, "alias Wide_{name} = {stored};");
    _ = writeln!(text, "fn load_{name}(at: u32) -> Piece {{");
    if stored == words {
        _ = writeln!(text, "    let words = {name}[at];");
    }
    _ = writeln!(text, "    return Piece({});\n}}", quads.join(", "));
}
