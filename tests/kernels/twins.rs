//! Every kernel's shaders against its Rust side: names, order, access and types of the bindings, the parameters, the
//! entry point, the three lines at the top. No shader exists without a kernel.

mod constants;
mod dispatches;
mod msl;

use std::{collections::BTreeSet, fs};

use bimetal::low_level::{
    compute::{
        caps::Caps,
        dtype::DType,
        kernel::{Access, Binding, Dispatch, Element, Kernel, Scalar},
        wgpu::prelude::{FORMATS, shader},
    },
    kernels::{ALL, gdn_chunk_solve::ChunkTiling},
};
use naga::{
    AddressSpace, ScalarKind, StorageAccess, TypeInner,
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

use crate::selection::kernels;

/// Minimum workgroup memory of WebGPU devices, in bytes.
const GROUP_MEMORY: u32 = 16 << 10;

/// Minimum workgroup memory of devices with fragments of 16, in bytes.
const MATRIX_GROUP_MEMORY: u32 = 40 << 10;

#[test]
fn no_orphans() {
    let kernels: BTreeSet<String> = ALL.iter().map(|kernel| kernel.name.to_owned()).collect();
    assert_eq!(stems("wgsl", "wgsl"), kernels, "wgsl/");
    let mut used: BTreeSet<String> = ALL.iter().flat_map(|kernel| kernel.library).map(|&part| part.into()).collect();
    used.extend(["ggml", "packing", "quants", "reduce_subgroup"].map(String::from));
    used.remove("matrix");
    used.extend(["sums_subgroup", "team_subgroup"].map(String::from));
    used.extend([8, 16].map(|fragment_size| format!("matrix_{fragment_size}")));
    assert_eq!(stems("wgsl/lib", "wgsl"), used, "wgsl/lib/");
    let formats: BTreeSet<String> = FORMATS.iter().map(|part| part.name.to_owned()).collect();
    assert_eq!(stems("wgsl/lib/formats", "wgsl"), formats, "wgsl/lib/formats/");
}

#[test]
fn tops() {
    for kernel in kernels() {
        for text in [kernel.source.wgsl, kernel.source.msl.expect("a text for Metal")] {
            let lines: Vec<_> = text.lines().take(4).collect();
            let comments = lines.iter().take_while(|line| line.starts_with("// ")).count();
            assert_eq!(comments, 3, "{}: formula, shapes, dispatch, and then the shader", kernel.name);
            assert!(lines[2].contains("one group"), "{}: dispatch", kernel.name);
        }
        assert!(kernel.bindings.len() <= 8, "{}: bindings", kernel.name);
    }
}

#[test]
fn wgsl_fits() {
    let chosen: BTreeSet<_> = kernels().iter().map(|kernel| kernel.name).collect();
    for (dispatch, caps) in dispatches::all().filter(|(dispatch, _)| chosen.contains(dispatch.kernel.name)) {
        let kernel = dispatch.kernel;
        let matrix = kernel.library.contains(&"matrix");
        let text = shader(&dispatch, &caps).unwrap();
        let module = wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        capabilities.set(Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16, caps.half);
        capabilities.set(Capabilities::COOPERATIVE_MATRIX, matrix);
        let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
        info.unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&text)));
        assert_eq!(bindings(&module), expected(&dispatch, &caps), "{}", kernel.name);
        let entries: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(entries, [kernel.name], "{}: entry point", kernel.name);
        assert_eq!(module.entry_points[0].workgroup_size, [kernel.lanes, 1, 1], "{}: lanes", kernel.name);
        let max_bytes = if matrix { MATRIX_GROUP_MEMORY } else { GROUP_MEMORY };
        let shared = group_memory(&module);
        assert!(shared <= max_bytes, "{}: {shared} bytes shared", kernel.name);
        let close = ChunkTiling::SOLVE_MEMORY.checked_sub(shared).is_some_and(|rest| rest < 16);
        assert!(kernel.name != "gdn_chunk_solve" || close, "SOLVE_MEMORY, where {shared} bytes are shared");
    }
}

/// The file names of a folder, without extensions.
fn stems(folder: &str, ending: &str) -> BTreeSet<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    files
        .map(|path| path.to_str().unwrap().strip_suffix(&format!(".{ending}")).unwrap().to_owned())
        .map(|stem| stem.rsplit('/').next().unwrap().to_owned())
        .collect()
}

/// Bytes of workgroup memory.
fn group_memory(module: &naga::Module) -> u32 {
    let shared = module.global_variables.iter().filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    shared.map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx())).sum()
}

/// The bindings of a shader, one per line: number, name, access, type; parameters with their offsets.
fn bindings(module: &naga::Module) -> Vec<String> {
    let mut found = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else { continue };
        assert_eq!(binding.group, 0);
        let (name, inner) = (variable.name.as_deref().unwrap(), &module.types[variable.ty].inner);
        let line = match variable.space {
            AddressSpace::Storage { access } => {
                let access = if access.contains(StorageAccess::STORE) { "read_write" } else { "read" };
                format!("{access} {}", element(module, inner))
            }
            AddressSpace::Uniform => fields(module, inner),
            other => panic!("{name}: {other:?}"),
        };
        found.push(format!("{} {name}: {line}", binding.binding));
    }
    found.sort();
    found
}

fn element(module: &naga::Module, inner: &TypeInner) -> String {
    let TypeInner::Array { base, size: naga::ArraySize::Dynamic, .. } = inner else { panic!("{inner:?}") };
    match &module.types[*base].inner {
        TypeInner::Scalar(scalar) => kind(*scalar).into(),
        TypeInner::Vector { size, scalar } => format!("{}×{}", *size as u8, kind(*scalar)),
        other => panic!("{other:?}"),
    }
}

fn kind(scalar: naga::Scalar) -> &'static str {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => "f32",
        (ScalarKind::Float, 2) => "f16",
        (ScalarKind::Uint, 4) => "u32",
        other => panic!("{other:?}"),
    }
}

fn fields(module: &naga::Module, inner: &TypeInner) -> String {
    let TypeInner::Struct { members, .. } = inner else { panic!("{inner:?}") };
    let field = |member: &naga::StructMember| {
        let TypeInner::Scalar(scalar) = module.types[member.ty].inner else { panic!("{member:?}") };
        format!("{} {} at {}", member.name.as_deref().unwrap(), kind(scalar), member.offset)
    };
    members.iter().map(field).collect::<Vec<_>>().join(", ")
}

/// The same lines from the kernel's table. A plain f32 binding may be read as vectors.
fn expected(dispatch: &Dispatch, caps: &Caps) -> Vec<String> {
    let (kernel, mut lines) = (dispatch.kernel, Vec::new());
    for ((at, binding), dtype) in kernel.bindings.iter().enumerate().zip(&dispatch.elements) {
        let access = if binding.access == Access::Read { "read" } else { "read_write" };
        let element = match (binding.element, dtype) {
            (Element::U32 | Element::F32, _) => vectors(kernel, binding),
            (Element::Float | Element::MatrixOperand | Element::KvRows, dtype) if dtype.is_quantized() => "u32",
            (Element::Activations, DType::Packed(_)) => "2×u32",
            (Element::Float | Element::KvRows | Element::Activations, DType::F32) => "4×f32",
            (Element::Vec16B, DType::Q8Heads) => "2×u32",
            (Element::Vec16B, DType::F32) => "4×f32",
            (Element::Vec16B, _) => "4×u32",
            (Element::MatrixOperand, _) if binding.access.writes() => "4×u32",
            (Element::F16 | Element::MatrixOperand, _) => "4×f16",
            (Element::Float | Element::KvRows | Element::Activations, DType::F16) if caps.half => "4×f16",
            (Element::Float | Element::KvRows | Element::Activations, _) => "2×u32",
        };
        lines.push(format!("{at} {}: {access} {element}", binding.name));
    }
    if !kernel.params.is_empty() {
        let kind = |kind: &Scalar| if matches!(kind, Scalar::U32(_)) { "u32" } else { "f32" };
        let params = kernel.params.iter().enumerate();
        let fields: Vec<_> = params.map(|(i, (name, like))| format!("{name} {} at {}", kind(like), 4 * i)).collect();
        lines.push(format!("{} params: {}", kernel.bindings.len(), fields.join(", ")));
    }
    lines
}

/// The element type for reading a binding of words: vectors if its rows consist of whole vectors.
fn vectors(kernel: &Kernel, binding: &Binding) -> &'static str {
    match (kernel.name, binding.name) {
        ("attend_decode" | "attend_merge", "stats") => "2×f32",
        ("argmax" | "argmax_merge", "leaders") => "2×u32",
        ("attend_decode" | "attend_merge", "sums") | ("attend_merge", "x") => "4×f32",
        ("gdn_chunk_solve", "qkv" | "u") | ("gdn_chunk_state", "u" | "state" | "o") => "4×f32",
        ("gdn_scan", "qkv") | ("qk_norm_rope", "x" | "norms" | "q") => "4×f32",
        ("qk_norm_rope", "rope") => "2×f32",
        _ if binding.element == Element::U32 => "u32",
        _ => "f32",
    }
}
