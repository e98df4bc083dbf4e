//! Every kernel's shaders against its Rust side: names, order, access and types of the bindings, the parameters, the
//! entry point, the three lines on top; and no shader without a kernel.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

use bimetal::{
    dtype::DType,
    kernels::ALL,
    pass::{Access, Element, Kernel, Scalar},
};
use naga::{
    AddressSpace, ScalarKind, StorageAccess, TypeInner,
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

/// Values for the defines of any kernel: a model's, where constants depend on each other.
const DEFINES: &[(&str, u32)] = &[
    ("ADD", 1),
    ("BLOCK", 16),
    ("COUNT", 40),
    ("HEAD", 256),
    ("K", 1000),
    ("KEY_HEADS", 16),
    ("KEY_WIDTH", 128),
    ("KV_HEADS", 2),
    ("KV_WIDTH", 512),
    ("LIVE", 0),
    ("MAX_BLOCKS", 64),
    ("MAX_ROWS", 512),
    ("MAX_SEQUENCES", 4),
    ("Q_HEADS", 8),
    ("ROTARY", 64),
    ("ROWS", 4),
    ("SPLITS", 16),
    ("TEAM", 32),
    ("TILE_COLUMNS", 64),
    ("TILE_ROWS", 64),
    ("VALUE_HEADS", 32),
    ("VALUE_WIDTH", 128),
    ("WIDTH", 1024),
    ("Z", 8192),
];

/// Defines whose name means something else in another kernel.
const SPECIAL: &[(&str, &str, u32)] = &[
    ("matvec", "COLUMNS", 8),
    ("gdn_scan", "COLUMNS", 32),
    ("gdn_step", "COLUMNS", 32),
    ("attend_merge", "STRIDE", 5120),
    ("gated_rms_norm", "STRIDE", 12352),
    ("gdn_gates", "STRIDE", 12352),
    ("kv_write", "STRIDE", 5120),
];

/// Whether MSL is written: as long as the Metal backend is not, there is no folder, and then there is every file.
const METAL: bool = false;

const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

#[test]
fn no_orphans() {
    let kernels: BTreeSet<String> = ALL.iter().map(|kernel| kernel.name.to_owned()).collect();
    assert_eq!(stems("wgsl", "wgsl"), kernels, "wgsl/");
    let mut used: BTreeSet<String> = ALL.iter().flat_map(|kernel| kernel.library).map(|&part| part.into()).collect();
    used.insert("reduce_subgroup".into());
    assert_eq!(stems("wgsl/lib", "wgsl"), used, "wgsl/lib/");
    assert_eq!(Path::new("msl").exists(), METAL, "msl/");
    for kernel in ALL {
        assert_eq!(kernel.source.msl.is_some(), METAL, "{}: msl", kernel.name);
    }
    if METAL {
        assert_eq!(stems("msl", "metal"), kernels, "msl/");
    }
}

#[test]
fn tops() {
    for kernel in ALL {
        for text in [Some(kernel.source.wgsl), kernel.source.msl].into_iter().flatten() {
            let lines: Vec<_> = text.lines().take(4).collect();
            let comments = lines.iter().take_while(|line| line.starts_with("// ")).count();
            assert_eq!(comments, 3, "{}: formula, shapes, launch, and then the shader", kernel.name);
            assert!(lines[2].contains("one group"), "{}: launch", kernel.name);
        }
        assert!(kernel.bindings.len() <= 8, "{}: bindings", kernel.name);
    }
}

#[test]
fn wgsl_fits() {
    for kernel in ALL {
        for dtype in DTYPES {
            for subgroups in [false, true] {
                let text = text(kernel, dtype, subgroups);
                let module = wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
                let capabilities = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16;
                let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
                info.unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&text)));
                assert_eq!(bindings(&module), expected(kernel, dtype), "{}", kernel.name);
                let entries: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
                assert_eq!(entries, [kernel.name], "{}: entry point", kernel.name);
                assert!(group_memory(&module) <= 16 << 10, "{}: {} bytes shared", kernel.name, group_memory(&module));
            }
        }
    }
}

/// Names of the files of a folder, without their ending.
fn stems(folder: &str, ending: &str) -> BTreeSet<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    files
        .map(|path| path.to_str().unwrap().strip_suffix(&format!(".{ending}")).unwrap().to_owned())
        .map(|stem| stem.rsplit('/').next().unwrap().to_owned())
        .collect()
}

/// Bytes that the lanes of a group share.
fn group_memory(module: &naga::Module) -> u32 {
    let shared = module.global_variables.iter().filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    shared.map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx())).sum()
}

/// The text that a backend compiles, all of the kernel's `Float` bindings being of one type.
fn text(kernel: &Kernel, dtype: DType, subgroups: bool) -> String {
    let mut text = String::new();
    for part in kernel.library {
        let name = if subgroups && *part == "reduce" { "reduce_subgroup" } else { part };
        text += &fs::read_to_string(format!("wgsl/lib/{name}.wgsl")).unwrap();
    }
    text += kernel.source.wgsl;
    format!(
        "enable f16;\nconst LANES: u32 = {}u;\n{}{}{text}",
        kernel.lanes,
        defines(kernel, &text),
        quads(kernel, dtype)
    )
}

/// Values for the capital names that a text uses and does not declare.
fn defines(kernel: &Kernel, text: &str) -> String {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let words: Vec<_> = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let capital = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(|c: char| c.is_ascii_lowercase())
    };
    let declared: BTreeSet<_> = words.windows(2).filter(|pair| pair[0] == "const").map(|pair| pair[1]).collect();
    let used: BTreeSet<_> = words.iter().copied().filter(capital).collect();
    used.difference(&declared).filter(|name| **name != "LANES").map(|name| define(kernel, name)).collect()
}

fn define(kernel: &Kernel, name: &str) -> String {
    let special = SPECIAL.iter().find(|(of, known, _)| *of == kernel.name && *known == name).map(|found| found.2);
    let value = special.or_else(|| DEFINES.iter().find(|(known, _)| *known == name).map(|found| found.1));
    let value = value.unwrap_or_else(|| panic!("{}: no value for {name}", kernel.name));
    format!("const {name}: u32 = {value}u;\n")
}

/// What the prelude says of `Float` bindings; the twins need the types only.
fn quads(kernel: &Kernel, dtype: DType) -> String {
    let quad = match dtype {
        DType::F32 => "vec4<f32>",
        DType::F16 => "vec4<f16>",
        _ => "vec2<u32>",
    };
    let (unpack, pack) = match dtype {
        DType::Bf16 => ("vec4<f32>(vec4<u32>(quad.xxyy))", "vec2<u32>(value.xy)"),
        _ => ("vec4<f32>(quad)", if dtype == DType::F32 { "value" } else { "vec4<f16>(value)" }),
    };
    let mut text = String::new();
    for binding in kernel.bindings.iter().filter(|binding| binding.element == Element::Float) {
        let name = binding.name;
        text += &format!("alias Quad_{name} = {quad};\n");
        text += &format!("fn unpack_{name}(quad: Quad_{name}) -> vec4<f32> {{ return {unpack}; }}\n");
        if binding.access.writes() {
            text += &format!("fn pack_{name}(value: vec4<f32>) -> Quad_{name} {{ return {pack}; }}\n");
        }
    }
    text
}

/// What a shader binds, one line each: number, name, access, type; parameters with their offsets.
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

/// The same lines from the kernel's table. A plain f32 binding may be read in vectors.
fn expected(kernel: &Kernel, dtype: DType) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, binding) in kernel.bindings.iter().enumerate() {
        let access = if binding.access == Access::Read { "read" } else { "read_write" };
        let element = match (binding.element, dtype) {
            (Element::U32, _) => "u32",
            (Element::F32, _) => vectors(kernel, binding.name),
            (Element::Float, DType::F32) => "4×f32",
            (Element::Float, DType::F16) => "4×f16",
            (Element::Float, _) => "2×u32",
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

/// How a shader reads an f32 binding: in vectors where its rows are whole ones.
fn vectors(kernel: &Kernel, binding: &str) -> &'static str {
    match (kernel.name, binding) {
        ("attend_decode" | "attend_merge", "stats") => "2×f32",
        ("gdn_scan", "qkv") => "4×f32",
        _ => "f32",
    }
}
