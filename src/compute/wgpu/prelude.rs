//! The text before a shader. WGSL has neither includes nor element types as parameters; this is where both come from.
//!
//! The whole text is: extensions, defines, how each float binding's elements are found, unpacked and packed, library
//! parts, and the kernel's own text. Everything before the library is the pipeline's key, together with the kernel.

mod ggml;
mod quantised;

use std::fmt::Write;

use quantised::Quantised;

use super::unroll::unroll;
use crate::{
    compute::{
        caps::Caps,
        dtype::DType,
        kernel::{Dispatch, Element},
    },
    error::{Error, Result},
};

/// The shared parts of shaders, by name.
pub const LIBRARY: &[(&str, &str)] = &[
    ("activations", include_str!("../../../wgsl/lib/activations.wgsl")),
    ("chunks", include_str!("../../../wgsl/lib/chunks.wgsl")),
    ("dots", include_str!("../../../wgsl/lib/dots.wgsl")),
    ("ggml", ggml::LIBRARY),
    ("heads", include_str!("../../../wgsl/lib/heads.wgsl")),
    ("leader", include_str!("../../../wgsl/lib/leader.wgsl")),
    ("matrix_16", include_str!("../../../wgsl/lib/matrix_16.wgsl")),
    ("matrix_8", include_str!("../../../wgsl/lib/matrix_8.wgsl")),
    ("packed", include_str!("../../../wgsl/lib/packed.wgsl")),
    ("packing", quantised::PACKING),
    ("pages", include_str!("../../../wgsl/lib/pages.wgsl")),
    ("pieces", include_str!("../../../wgsl/lib/pieces.wgsl")),
    ("quants", quantised::LIBRARY),
    ("reduce", include_str!("../../../wgsl/lib/reduce.wgsl")),
    ("reduce_subgroup", include_str!("../../../wgsl/lib/reduce_subgroup.wgsl")),
    ("scales", include_str!("../../../wgsl/lib/scales.wgsl")),
    ("splits", include_str!("../../../wgsl/lib/splits.wgsl")),
    ("sums", include_str!("../../../wgsl/lib/sums.wgsl")),
    ("sums_subgroup", include_str!("../../../wgsl/lib/sums_subgroup.wgsl")),
    ("team", include_str!("../../../wgsl/lib/team.wgsl")),
    ("team_subgroup", include_str!("../../../wgsl/lib/team_subgroup.wgsl")),
    ("step", include_str!("../../../wgsl/lib/step.wgsl")),
    ("triangle", include_str!("../../../wgsl/lib/triangle.wgsl")),
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
    let packed = dispatch.known("PACKED") == Some(1);
    if dispatch.elements.iter().any(|dtype| dtype.is_quantised()) {
        text.push_str(quantised::LIBRARY);
    }
    if packed || dispatch.elements.iter().any(|dtype| matches!(dtype, DType::Packed(_))) {
        text.push_str(quantised::PACKING);
    }
    if dispatch.elements.iter().any(|dtype| dtype.is_ggml()) {
        text.push_str(ggml::LIBRARY);
    }
    for (at, binding) in dispatch.kernel.bindings.iter().enumerate() {
        let (name, dtype) = (binding.name, dispatch.elements[at]);
        let quantised = dtype.is_quantised().then(|| Quantised { name, dtype, shape: dispatch.shapes[at] });
        match (binding.element, quantised) {
            (Element::Inputs, Some(quantised)) => quantised.stores(&mut text),
            (Element::Wide, Some(quantised)) if packed => quantised.codes(&mut text),
            (Element::Wide, Some(quantised)) => quantised.pieces(&mut text, dispatch.define("WIDE")),
            (Element::Wide, None) => piece(&mut text, (name, dtype), dispatch.define("WIDE")),
            (Element::Halves, Some(quantised)) => quantised.fetches(&mut text),
            (Element::Halves, None) if binding.access.writes() => pair(&mut text, name),
            (Element::Halves, None) => halves(&mut text, name, dispatch.known("W_WIDE") == Some(2)),
            (Element::Float | Element::Heads, Some(quantised)) => quantised.quads(&mut text),
            (Element::Float | Element::F16 | Element::Heads | Element::Inputs, _) => {
                quad(&mut text, (name, dtype), binding.access.writes(), caps.half);
            }
            (Element::F32 | Element::U32, _) => {}
        }
        match binding.element {
            Element::Heads => keep(&mut text, quantised, name),
            Element::Inputs if quantised.is_none() => store(&mut text, name),
            _ => {}
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
        _ => ("vec4<f32>", "quad"),
    };
    _ = writeln!(text, "alias Quad_{name} = {stored};");
    _ = writeln!(text, "fn unpack_{name}(quad: Quad_{name}) -> vec4<f32> {{ return {unpacked}; }}");
    if !writes {
        _ = writeln!(text, "fn quad_{name}(at: u32) -> vec4<f32> {{ return unpack_{name}({name}[at]); }}");
    }
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

/// Halves are fetched as they are: a quad, or a pair of them as other weights come.
fn halves(text: &mut String, name: &str, pairs: bool) {
    _ = writeln!(text, "alias Quad_{name} = vec4<f16>;");
    if pairs {
        _ = writeln!(text, "alias Fetch_{name} = array<vec4<f16>, 2>;\nfn fetch_{name}(at: u32) -> Fetch_{name} {{");
        _ = writeln!(text, "    return Fetch_{name}({name}[2u * at], {name}[2u * at + 1u]);\n}}");
        _ = writeln!(text, "fn halves_{name}(fetch: Fetch_{name}) -> Fetch_{name} {{ return fetch; }}");
        return;
    }
    _ = writeln!(text, "alias Fetch_{name} = vec4<f16>;");
    _ = writeln!(text, "fn fetch_{name}(at: u32) -> vec4<f16> {{ return {name}[at]; }}");
    _ = writeln!(text, "fn halves_{name}(fetch: vec4<f16>) -> array<vec4<f16>, 1> {{ return array(fetch); }}");
}

/// Two quads of halves, which are stored at once. Packing what already is a half changes nothing.
fn pair(text: &mut String, name: &str) {
    let halves = ["first.xy", "first.zw", "last.xy", "last.zw"];
    let words = halves.map(|pair| format!("pack2x16float(vec2<f32>({pair}))")).join(", ");
    _ = writeln!(text, "alias Pair_{name} = vec4<u32>;");
    _ = writeln!(text, "fn pair_{name}(first: vec4<f16>, last: vec4<f16>) -> vec4<u32> {{ return vec4({words}); }}");
}

/// How a quad is stored, if it is; lanes need not agree.
fn store(text: &mut String, name: &str) {
    _ = writeln!(text, "fn store_{name}(at: u32, quad: vec4<f32>, stores: bool) {{");
    _ = writeln!(text, "    if stores {{\n        {name}[at] = pack_{name}(quad);\n    }}\n}}");
}

/// How a quad of a head that has some scale is kept, and the scale.
fn keep(text: &mut String, quantised: Option<Quantised<'_>>, name: &str) {
    let (kept, scale) = match quantised {
        Some(heads) => ("codes_of(quad, scale)".to_owned(), heads.keep_scale()),
        None => (format!("pack_{name}(quad)"), String::new()),
    };
    _ = writeln!(text, "fn keep_{name}(at: u32, quad: vec4<f32>, scale: u32) {{\n    {name}[at] = {kept};{scale}\n}}");
}

/// WIDE quads that lie side by side, and how they are loaded from a binding: two at once where they have 16 bits.
fn piece(text: &mut String, (name, dtype): (&str, DType), wide: u32) {
    let narrow = dtype.is_narrow();
    let stored = match (narrow, wide) {
        (true, 1) => "vec2<u32>",
        (true, _) => "vec4<u32>",
        (false, _) => "vec4<f32>",
    };
    let halves = |words: &str, [x, y]: [&str; 2]| match dtype {
        DType::F16 => format!("vec4(unpack2x16float({words}.{x}), unpack2x16float({words}.{y}))"),
        _ => format!(
            "bitcast<vec4<f32>>(vec4({words}.{x} << 16u, {words}.{x} & 0xffff0000u, {words}.{y} << 16u, {words}.{y} & 0xffff0000u))"
        ),
    };
    let loads = if narrow { wide.div_ceil(2) } else { wide };
    _ = writeln!(text, "alias Wide_{name} = {stored};\nfn load_{name}(at: u32) -> Piece {{");
    (0..loads).for_each(|i| _ = writeln!(text, "    let load_{i} = {name}[at * {loads}u + {i}u];"));
    let quad = |i: u32| match narrow {
        true => halves(&format!("load_{}", i / 2), [["x", "y"], ["z", "w"]][i as usize % 2]),
        false => format!("load_{i}"),
    };
    let quads: Vec<_> = (0..wide).map(quad).collect();
    _ = writeln!(text, "    return Piece({});\n}}", quads.join(", "));
}
