//! A kernel's Metal text against its table: the signature of the entry point and the struct of its parameters. The
//! parser supports only these.

use std::collections::BTreeSet;

use bimetal::low_level::{
    compute::{
        kernel::{Access, Binding, Element, Kernel, Scalar},
        metal::prelude::{ABSENT, LIBRARY, shader},
    },
    kernels::ALL,
};

use super::{
    dispatches::{DTYPES, dispatch},
    stems,
};
use crate::selection::kernels;

/// Parameters that are not buffers: attribute name, and the type in our kernels.
const BUILT_IN: [(&str, &str); 4] = [
    ("threadgroup_position_in_grid", "uint3"),
    ("thread_index_in_threadgroup", "uint"),
    ("thread_index_in_simdgroup", "uint"),
    ("simdgroup_index_in_threadgroup", "uint"),
];

#[test]
fn signatures_are_those_of_the_tables() {
    for kernel in kernels() {
        let text = uncommented(kernel.source.msl.unwrap());
        assert_eq!(entries(&text), [kernel.name], "{}: entry point", kernel.name);
        let (buffers, rest): (Vec<_>, Vec<_>) =
            signature(&text, kernel.name).into_iter().partition(|(_, attribute)| attribute.starts_with("buffer("));
        let found: Vec<_> = buffers.into_iter().map(|(text, at)| format!("{at}: {}", vague(kernel, &text))).collect();
        assert_eq!(found, expected(kernel), "{}: buffers", kernel.name);
        for (text, attribute) in rest {
            let (ty, _) = text.rsplit_once(' ').unwrap();
            assert!(BUILT_IN.contains(&(&attribute, ty)), "{}: {text} [[{attribute}]]", kernel.name);
        }
        let params: Vec<_> = kernel.params.iter().map(|(name, like)| format!("{} {name}", scalar(like))).collect();
        assert_eq!(params_of(&text), params, "{}: Params", kernel.name);
    }
}

#[test]
fn every_text_has_its_parts_and_every_part_its_use() {
    let names: BTreeSet<String> = ALL.iter().map(|kernel| kernel.name.to_owned()).collect();
    assert_eq!(stems("msl", "metal"), names, "msl/");
    let known: BTreeSet<String> = LIBRARY.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems("msl/lib", "metal"), known, "msl/lib/");
    let asked: BTreeSet<&str> = ALL.iter().flat_map(|kernel| kernel.library).copied().collect();
    for (name, reason) in ABSENT {
        assert!(asked.contains(name) && !known.contains(*name) && !reason.is_empty(), "{name} is not absent");
    }
    let absent = |name: &&str| ABSENT.iter().any(|(absent, _)| absent == name);
    let mut used: BTreeSet<String> = asked.into_iter().filter(|name| !absent(name)).map(str::to_owned).collect();
    used.extend(["ggml", "quads", "quants"].map(String::from));
    assert_eq!(used, known, "parts that kernels ask for");
    for kernel in kernels() {
        DTYPES.iter().for_each(|dtype| drop(shader(&dispatch(kernel, *dtype)).unwrap()));
    }
}

/// The top lines are the same in both languages: formula, shapes and dispatch.
#[test]
fn tops_agree_in_kind() {
    for kernel in kernels() {
        let tops =
            [kernel.source.wgsl, kernel.source.msl.unwrap()].map(|text| text.lines().take(3).collect::<Vec<_>>());
        for binding in kernel.bindings.iter().filter(|binding| binding.name != "step" && binding.name != "tables") {
            let named = tops.each_ref().map(|lines| lines[..2].concat().contains(binding.name));
            assert!(named[0] == named[1] || named[1], "{}: {} on top of the Metal text", kernel.name, binding.name);
        }
        assert!(tops[1][1].contains('['), "{}: shapes: {}", kernel.name, tops[1][1]);
    }
}

#[test]
fn the_parser_sees_what_is_wrong() {
    let text = uncommented(
        "/* a */ struct Params { uint rows; float eps; }; // b\nkernel void f(\n  device const Quad_x* x [[buffer(0)]],\n  \
         constant Params& params [[buffer(1)]], uint3 group [[threadgroup_position_in_grid]]) { }",
    );
    let pair = |text: &str, attribute: &str| (text.to_owned(), attribute.to_owned());
    let expected = [
        pair("device const Quad_x* x", "buffer(0)"),
        pair("constant Params& params", "buffer(1)"),
        pair("uint3 group", "threadgroup_position_in_grid"),
    ];
    assert_eq!(signature(&text, "f"), expected);
    assert_eq!(params_of(&text), ["uint rows", "float eps"]);
    assert_eq!(entries(&text), ["f"]);
    assert_eq!(params_of("kernel void f() {}"), [""; 0]);
}

fn uncommented(text: &str) -> String {
    let lines: String = text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let mut parts = lines.split("/*");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + part.split_once("*/").unwrap().1)
}

/// Names of the entry points.
fn entries(text: &str) -> Vec<&str> {
    text.split("kernel void ").skip(1).map(|rest| rest.split('(').next().unwrap().trim()).collect()
}

/// Each parameter of the entry point in a uniform spelling, with its attribute.
fn signature(text: &str, name: &str) -> Vec<(String, String)> {
    let rest = text.split_once(&format!("kernel void {name}(")).unwrap().1;
    let inside = rest.split_once('{').unwrap().0.trim().strip_suffix(')').unwrap();
    let parameter = |part: &str| {
        let (declared, attribute) = part.split_once("[[").unwrap_or_else(|| panic!("{name}: {part}: no attribute"));
        let words = declared.split_whitespace().collect::<Vec<_>>().join(" ");
        let one_way =
            words.replace(" *", "*").replace(" &", "&").replace('*', "* ").replace('&', "& ").replace("  ", " ");
        (one_way, attribute.trim().strip_suffix("]]").unwrap().trim().to_owned())
    };
    inside.split(',').map(parameter).collect()
}

/// The fields of `struct Params`, if there is one.
fn params_of(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("struct Params") else { return Vec::new() };
    let inside = rest.split_once('{').unwrap().1.split_once('}').unwrap().0;
    let fields = inside.split(';').map(|field| field.split_whitespace().collect::<Vec<_>>().join(" "));
    fields.filter(|field| !field.is_empty()).collect()
}

/// Spells vectors of words as words: a shader may read vectors if rows consist of whole ones.
fn vague(kernel: &Kernel, text: &str) -> String {
    let plain = |binding: &&Binding| matches!(binding.element, Element::F32 | Element::U32);
    let named = |binding: &&Binding| text.ends_with(&format!("* {}", binding.name));
    let mut text = text.to_owned();
    if kernel.bindings.iter().filter(plain).any(|binding| named(&binding)) {
        for (vector, word) in [("float2*", "float*"), ("float4*", "float*"), ("uint2*", "uint*"), ("uint4*", "uint*")] {
            text = text.replace(vector, word);
        }
    }
    text
}

fn expected(kernel: &Kernel) -> Vec<String> {
    let buffer = |(at, binding): (usize, &Binding)| {
        let access = if binding.access == Access::Read { "const " } else { "" };
        let element = match binding.element {
            Element::F32 => "float".to_owned(),
            Element::U32 => "uint".to_owned(),
            Element::Float
            | Element::F16
            | Element::MatrixOperand
            | Element::KvRows
            | Element::Activations
            | Element::Vec16B => {
                format!("Quad_{}", binding.name)
            }
        };
        format!("buffer({at}): device {access}{element}* {}", binding.name)
    };
    let mut lines: Vec<_> = kernel.bindings.iter().enumerate().map(buffer).collect();
    if !kernel.params.is_empty() {
        lines.push(format!("buffer({}): constant Params& params", kernel.bindings.len()));
    }
    lines
}

fn scalar(like: &Scalar) -> &'static str {
    if matches!(like, Scalar::U32(_)) { "uint" } else { "float" }
}
