//! Every kernel's shaders against its Rust side: names, order, access and types of the bindings, the parameters, the
//! entry point, the three lines on top; and no shader without a kernel.
#![allow(missing_docs, clippy::unwrap_used)]
#![cfg(feature = "wgpu")]

#[path = "twins/msl.rs"]
mod msl;

use std::{collections::BTreeSet, fs};

use bimetal::{
    backend::{Backend, Caps},
    cpu::Cpu,
    dtype::{DType, Packs},
    kernels::ALL,
    pass::{Access, Binding, Dispatch, Element, Kernel, Scalar},
    wgpu::prelude::shader,
};
use naga::{
    AddressSpace, ScalarKind, StorageAccess, TypeInner,
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

/// Values for the defines of any kernel: a model's, where constants depend on each other.
const DEFINES: &[(&str, u32)] = &[
    ("ADD", 1),
    ("AHEAD", 2),
    ("BLOCK", 16),
    ("BLOCKS_AHEAD", 2),
    ("BLOCKS_PER_LANE", 4),
    ("COLUMNS", 8),
    ("COLUMN_TEAMS", 2),
    ("COUNT", 40),
    ("FETCHES", 2),
    ("FLOATS", 1),
    ("GROUP", 4),
    ("HEAD", 256),
    ("K", 1000),
    ("KEYS", 4),
    ("KEY_HEADS", 16),
    ("KEY_SQUARES", 8),
    ("KEY_WIDTH", 128),
    ("KV_HEADS", 2),
    ("LEAST", 32),
    ("LIVE", 0),
    ("MAX_BLOCKS", 64),
    ("MAX_ROWS", 512),
    ("MAX_SEQUENCES", 4),
    ("NIBBLES", 1),
    ("NORM", 1),
    ("PACKED", 0),
    ("PACKS", 0),
    ("PAIRS", 2),
    ("PARTS", 61),
    ("PLAIN", 1),
    ("Q_HEADS", 8),
    ("ROTARY", 64),
    ("ROUNDS", 8),
    ("ROWS", 4),
    ("ROW_TEAMS", 2),
    ("SCALED", 1),
    ("SHARE", 2),
    ("SHARERS", 1),
    ("SHARING", 2),
    ("SIDE", 32),
    ("SLICE", 4096),
    ("SLICE_SQUARES", 2),
    ("SPLITS", 16),
    ("SPREAD", 1),
    ("STATE_SQUARES", 2),
    ("STEPS", 4),
    ("TAKES", 0),
    ("TAIL", 1),
    ("TEAM", 32),
    ("TEAMS", 4),
    ("TILE_COLUMNS", 64),
    ("TILE_ROWS", 64),
    ("TOGETHER", 1),
    ("TOKENS", 8),
    ("UNPACKED", 1),
    ("VALUES", 8),
    ("VALUE_HEADS", 32),
    ("VALUE_WIDTH", 128),
    ("WIDE", 2),
    ("WIDTH", 1024),
    ("W_FETCHES", 8),
    ("W_WIDE", 1),
    ("X_FETCHES", 8),
    ("Z", 8192),
];

/// Capital names that shaders know besides: the lanes of a group and of a subgroup, and the roles of matrix units.
const GIVEN: [&str; 5] = ["LANES", "SUBGROUP", "A", "B", "C"];

/// Defines whose name means something else in another kernel.
const SPECIAL: &[(&str, &str, u32)] = &[
    ("dequantise", "SHARE", 4),
    ("dequantise", "W_WIDE", 2),
    ("matmul_mma", "COLUMNS", 2),
    ("matmul_mma", "ROWS", 2),
    ("gdn_scan", "SHARE", 4),
    ("gdn_scan", "TEAM", 8),
    ("gdn_chunk_solve", "FETCHES", 4),
    ("gdn_chunk_state", "COLUMN_TEAMS", 1),
    ("gdn_decode", "COLUMNS", 128),
    ("gdn_decode", "SHARE", 64),
    ("matvec", "NORM", 0),
    ("norm_matvec", "VALUES", 12),
    ("norm_swiglu", "SHARE", 4),
    ("norm_swiglu", "VALUES", 20),
    ("attend_decode", "TEAMS", 8),
    ("attend_decode", "VALUES", 16),
    ("attend_merge", "PARTS", 4),
    ("attend_merge", "ROUNDS", 2),
    ("attend_merge", "SHARE", 8),
    ("attend_merge", "STRIDE", 5120),
    ("gated_rms_norm", "STRIDE", 12352),
];

/// Bytes that lanes may share on the least device that WebGPU allows.
const GROUP_MEMORY: u32 = 16 << 10;

/// The same on the least device whose matrix units multiply squares of 16.
const MATRIX_GROUP_MEMORY: u32 = 40 << 10;

#[rustfmt::skip]
const DTYPES: [DType; 12] = [
    DType::F32, DType::F16, DType::Bf16, DType::Q8, DType::Q4, DType::Q4_0, DType::Q4K, DType::Q5K, DType::Q6K,
    DType::Q8Heads, DType::Packed(Packs::Bytes), DType::Packed(Packs::Nibbles),
];

/// Rows and width of every matrix; a row's last unit is not whole.
const SHAPE: [u32; 2] = [64, 1120];
/// Of whole super-blocks.
const SUPER: [u32; 2] = [64, 1280];

#[test]
fn no_orphans() {
    let kernels: BTreeSet<String> = ALL.iter().map(|kernel| kernel.name.to_owned()).collect();
    assert_eq!(stems("wgsl", "wgsl"), kernels, "wgsl/");
    let mut used: BTreeSet<String> = ALL.iter().flat_map(|kernel| kernel.library).map(|&part| part.into()).collect();
    used.extend(["ggml", "packing", "quants", "reduce_subgroup"].map(String::from));
    used.remove("matrix");
    used.extend(["sums_subgroup", "team_subgroup"].map(String::from));
    used.extend([8, 16].map(|edge| format!("matrix_{edge}")));
    assert_eq!(stems("wgsl/lib", "wgsl"), used, "wgsl/lib/");
}

#[test]
fn tops() {
    for kernel in ALL {
        for text in [kernel.source.wgsl, kernel.source.msl.expect("a text for Metal")] {
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
        let matrix = kernel.library.contains(&"matrix");
        for (dtype, offered) in DTYPES.into_iter().flat_map(|dtype| [(dtype, false), (dtype, true)]) {
            let halves = |binding: &Binding| matches!(binding.element, Element::F16 | Element::Halves);
            if (matrix || kernel.bindings.iter().any(halves)) && !offered {
                continue;
            }
            let taken = matches!(dtype, DType::Packed(_)) && kernel.name == "matvec";
            let packed = offered && dtype.packs().is_some() && kernel.library.contains(&"packed");
            let left =
                matches!(dtype, DType::Packed(_)) && kernel.bindings.iter().any(|b| b.element == Element::Inputs);
            if matches!(dtype, DType::Packed(_)) && !(offered && (taken || left)) {
                continue;
            }
            let mut dispatch = launch(kernel, dtype);
            if packed || taken {
                pack(&mut dispatch, taken);
            }
            let mut caps = Cpu::new(1).caps().clone();
            (caps.half, caps.subgroup, caps.matrix_units) =
                (offered, offered.then_some([8, 32]), offered.then_some(16));
            let text = shader(&dispatch, &caps).unwrap();
            let module = wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
            let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
            capabilities.set(Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16, offered);
            capabilities.set(Capabilities::COOPERATIVE_MATRIX, matrix);
            let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
            info.unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&text)));
            assert_eq!(bindings(&module), expected(&dispatch, &caps), "{}", kernel.name);
            let entries: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(entries, [kernel.name], "{}: entry point", kernel.name);
            assert_eq!(module.entry_points[0].workgroup_size, [kernel.lanes, 1, 1], "{}: lanes", kernel.name);
            let most = if matrix { MATRIX_GROUP_MEMORY } else { GROUP_MEMORY };
            assert!(group_memory(&module) <= most, "{}: {} bytes shared", kernel.name, group_memory(&module));
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

/// A launch of the kernel as far as its text depends on it, what it reads in quads being of one type.
fn launch(kernel: &'static Kernel, dtype: DType) -> Dispatch {
    let file = |part: &&str| if *part == "matrix" { "matrix_16".to_owned() } else { (*part).to_owned() };
    let library =
        kernel.library.iter().map(|part| fs::read_to_string(format!("wgsl/lib/{}.wgsl", file(part))).unwrap());
    let text = library.collect::<String>() + kernel.source.wgsl;
    // Quantised weights come in whole blocks, or in two quads.
    let weights = dtype.is_quantised() && !matches!(dtype, DType::Q8Heads | DType::Packed(_));
    let blocks = weights && kernel.library.contains(&"dots");
    let wide = |name, value| match name {
        "WIDE" if blocks => 8,
        "W_WIDE" if weights => 2,
        "W_FETCHES" if weights => value / 2,
        _ => value,
    };
    let defines = undeclared(&text).into_iter().map(|name| define(kernel, name));
    // What leaves rows packed reads none.
    let takes = |binding: &Binding| kernel.name == "matvec" || binding.element == Element::Inputs;
    let element = |binding: &Binding| match dtype {
        DType::Packed(_) if !takes(binding) => element_of(binding, DType::F32),
        _ => element_of(binding, dtype),
    };
    Dispatch {
        kernel,
        defines: defines.map(|(name, value)| (name, wide(name, value))).collect(),
        slots: Vec::new(),
        elements: kernel.bindings.iter().map(element).collect(),
        shapes: vec![if dtype.is_ggml() { SUPER } else { SHAPE }; kernel.bindings.len()],
        params: Vec::new(),
        lanes: kernel.lanes,
        grid: [1; 3],
        barrier: false,
    }
}

/// Makes it a launch that multiplies packed bytes, with rows that are taken as another launch has left them or not.
fn pack(dispatch: &mut Dispatch, taken: bool) {
    for (name, value) in &mut dispatch.defines {
        *value = match *name {
            "PACKED" => 1,
            "PLAIN" => 0,
            "PACKS" | "UNPACKED" => u32::from(!taken),
            "TAKES" => u32::from(taken),
            "FLOATS" => u32::from(dispatch.kernel.name == "norm_matvec"),
            "WIDE" => 2,
            "SPREAD" if dispatch.kernel.name == "norm_matvec" => 2,
            _ => *value,
        };
    }
}

/// Nothing writes bf16 and quantised weights, only matrices are quantised, and only keys and values are heads of 8 bits. What
/// comes packed is multiplied with weights that pack alike.
fn element_of(binding: &Binding, dtype: DType) -> DType {
    if let DType::Packed(packs) = dtype {
        return match (binding.element, binding.name, packs) {
            (Element::Inputs, ..) | (Element::Wide, "x", _) => dtype,
            (Element::Wide, _, Packs::Bytes) => DType::Q8,
            (Element::Wide, _, Packs::Nibbles) => DType::Q4,
            _ => element_of(binding, DType::F32),
        };
    }
    let quantised = match dtype {
        DType::Q8Heads => ["keys", "values"].contains(&binding.name),
        _ => ["w", "gate", "up", "table"].contains(&binding.name),
    };
    match binding.element {
        Element::U32 => DType::U32,
        Element::F32 => DType::F32,
        Element::Float if binding.access.writes() && dtype == DType::Bf16 => DType::F32,
        Element::Inputs if matches!(dtype, DType::F16 | DType::Packed(_)) => dtype,
        Element::Inputs => DType::F32,
        Element::Halves if dtype == DType::F16 || dtype.is_quantised() && quantised => dtype,
        Element::Heads if dtype == DType::F16 || dtype == DType::Q8Heads => dtype,
        Element::Heads => DType::F32,
        Element::F16 | Element::Halves => DType::F16,
        Element::Float | Element::Wide if dtype.is_quantised() && !quantised => DType::F32,
        Element::Float | Element::Wide => dtype,
    }
}

/// The capital names that a text uses and does not declare: its defines.
fn undeclared(text: &str) -> BTreeSet<&str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    let words: Vec<_> = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect();
    let capital = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(|c: char| c.is_ascii_lowercase())
    };
    let declared: BTreeSet<_> = words.windows(2).filter(|pair| pair[0] == "const").map(|pair| pair[1]).collect();
    words.into_iter().filter(capital).filter(|word| !GIVEN.contains(word) && !declared.contains(word)).collect()
}

fn define(kernel: &Kernel, name: &str) -> (&'static str, u32) {
    let special = SPECIAL.iter().find(|(of, known, _)| *of == kernel.name && *known == name);
    let special = special.map(|(_, name, value)| (*name, *value));
    let found = special.or_else(|| DEFINES.iter().find(|(known, _)| *known == name).copied());
    found.unwrap_or_else(|| panic!("{}: no value for {name}", kernel.name))
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
fn expected(dispatch: &Dispatch, caps: &Caps) -> Vec<String> {
    let (kernel, mut lines) = (dispatch.kernel, Vec::new());
    for ((at, binding), dtype) in kernel.bindings.iter().enumerate().zip(&dispatch.elements) {
        let access = if binding.access == Access::Read { "read" } else { "read_write" };
        let element = match (binding.element, dtype) {
            (Element::U32 | Element::F32, _) => vectors(kernel, binding),
            (Element::Float | Element::Halves | Element::Heads, dtype) if dtype.is_quantised() => "u32",
            (Element::Inputs, DType::Packed(_)) => "2×u32",
            (Element::Float | Element::Heads | Element::Inputs, DType::F32) => "4×f32",
            (Element::Wide, DType::Q8Heads) => "2×u32",
            (Element::Wide, DType::F32) => "4×f32",
            (Element::Wide, _) => "4×u32",
            (Element::Halves, _) if binding.access.writes() => "4×u32",
            (Element::F16 | Element::Halves, _) => "4×f16",
            (Element::Float | Element::Heads | Element::Inputs, DType::F16) if caps.half => "4×f16",
            (Element::Float | Element::Heads | Element::Inputs, _) => "2×u32",
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

/// How a shader reads a binding of words: in vectors where its rows are whole ones.
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
