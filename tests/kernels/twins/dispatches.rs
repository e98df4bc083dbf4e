//! Artificial dispatches of every kernel: with values for all defines, and elements of any type.

use std::{collections::BTreeSet, fs};

use bimetal::{
    Backend,
    low_level::{
        compute::{
            caps::Caps,
            cpu::Cpu,
            dtype::{DType, Packs},
            kernel::{Binding, Dispatch, Element, Kernel, RowsAre},
        },
        kernels::ALL,
    },
};

#[rustfmt::skip]
pub const DTYPES: [DType; 12] = [
    DType::F32, DType::F16, DType::Bf16, DType::Q8, DType::Q4, DType::Q4_0, DType::Q4K, DType::Q5K, DType::Q6K,
    DType::Q8Heads, DType::Packed(Packs::Bytes), DType::Packed(Packs::Nibbles),
];

/// Values for the defines of any kernel, consistent with a model if constants depend on each other.
const DEFINES: &[(&str, u32)] = &[
    ("ADD", 1),
    ("AHEAD", 2),
    ("PAGE", 16),
    ("BLOCKS_AHEAD", 2),
    ("BLOCKS_PER_LANE", 4),
    ("COLUMNS", 8),
    ("COLUMN_SUBGROUPS", 2),
    ("COUNT", 40),
    ("EVEN_ODD", 1),
    ("FETCHES", 2),
    ("FLOAT_PRODUCTS", 1),
    ("GROUP", 4),
    ("HAS_NORM", 1),
    ("HAS_TAIL", 1),
    ("HEAD", 256),
    ("K", 1000),
    ("KEYS", 4),
    ("KEY_HEADS", 16),
    ("KEY_FRAGMENTS", 8),
    ("KEY_WIDTH", 128),
    ("KV_HEADS", 2),
    ("MIN_POSITIONS", 32),
    ("ROW_COUNT", 0),
    ("MAX_PAGES", 64),
    ("MAX_ROWS", 512),
    ("MAX_SEQUENCES", 4),
    ("PAIRS", 2),
    ("PARTS", 61),
    ("Q_HEADS", 8),
    ("ROTARY", 64),
    ("ROUNDS", 8),
    ("ROWS", 4),
    ("ROWS_ARE", 0),
    ("ROW_SUBGROUPS", 2),
    ("SCALED", 1),
    ("SHARE", 2),
    ("SHARERS", 1),
    ("SHARING", 2),
    ("SIDE", 32),
    ("SLICE", 4096),
    ("SLICE_FRAGMENTS", 2),
    ("SPLITS", 16),
    ("SPREAD", 1),
    ("STATE_FRAGMENTS", 2),
    ("STEPS", 4),
    ("SUBGROUPS", 4),
    ("TEAM", 32),
    ("TILE_COLUMNS", 64),
    ("TILE_ROWS", 64),
    ("HEADS_AT_ONCE", 1),
    ("TOKENS", 8),
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

/// Other capital names in shaders: the lanes of a workgroup and of a subgroup, the roles of matrix units, and the kinds
/// of rows.
const GIVEN: [&str; 8] = ["LANES", "SUBGROUP", "A", "B", "C", "FLOATS", "PACKED_HERE", "PACKED_BEFORE"];

/// Defines with another meaning in one kernel.
const SPECIAL: &[(&str, &str, u32)] = &[
    ("dequantize", "SHARE", 4),
    ("dequantize", "W_WIDE", 2),
    ("matmul_mma", "COLUMNS", 2),
    ("matmul_mma", "ROWS", 2),
    ("gdn_scan", "SHARE", 4),
    ("gdn_scan", "TEAM", 8),
    ("gdn_chunk_solve", "FETCHES", 4),
    ("gdn_chunk_state", "COLUMN_SUBGROUPS", 1),
    ("gdn_decode", "COLUMNS", 128),
    ("gdn_decode", "SHARE", 64),
    ("matvec", "HAS_NORM", 0),
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

/// Rows and width of every matrix; a row's last unit is incomplete.
const SHAPE: [u32; 2] = [64, 1120];
/// Rows and width with whole super-blocks.
const SUPER: [u32; 2] = [64, 1280];

/// Every dispatch with a WGSL text, and its device's capabilities: kernels with elements of each type, on the minimal
/// device and on one with f16, subgroups and matrix units.
pub fn all() -> impl Iterator<Item = (Dispatch, Caps)> {
    let offers = DTYPES.into_iter().flat_map(|dtype| [(dtype, false), (dtype, true)]);
    let kernels =
        ALL.iter().flat_map(move |kernel| offers.clone().map(move |(dtype, offered)| (*kernel, dtype, offered)));
    kernels.filter_map(|(kernel, dtype, offered)| {
        let mut caps = Cpu::new(1).caps().clone();
        (caps.half, caps.subgroup, caps.matrix_units) = (offered, offered.then_some([8, 32]), offered.then_some(16));
        Some((offered_dispatch(kernel, dtype, offered)?, caps))
    })
}

/// The dispatch on the full or the minimal device. `None` if the kernel needs more, or does not support the type.
fn offered_dispatch(kernel: &'static Kernel, dtype: DType, offered: bool) -> Option<Dispatch> {
    let in_f16 = |binding: &Binding| matches!(binding.element, Element::F16 | Element::MatrixOperand);
    if (kernel.library.contains(&"matrix") || kernel.bindings.iter().any(in_f16)) && !offered {
        return None;
    }
    let taken = matches!(dtype, DType::Packed(_)) && kernel.name == "matvec";
    let packed = offered && dtype.packs().is_some() && kernel.library.contains(&"packed");
    let left = matches!(dtype, DType::Packed(_)) && kernel.bindings.iter().any(|b| b.element == Element::Activations);
    if matches!(dtype, DType::Packed(_)) && !(offered && (taken || left)) {
        return None;
    }
    let mut dispatch = dispatch(kernel, dtype);
    if packed || taken {
        pack(&mut dispatch, taken);
    }
    Some(dispatch)
}

/// A dispatch of the kernel with all properties that its text depends on. Vector reads have one element type.
pub fn dispatch(kernel: &'static Kernel, dtype: DType) -> Dispatch {
    let file = |part: &&str| if *part == "matrix" { "matrix_16".to_owned() } else { (*part).to_owned() };
    let library =
        kernel.library.iter().map(|part| fs::read_to_string(format!("wgsl/lib/{}.wgsl", file(part))).unwrap());
    let text = library.collect::<String>() + kernel.source.wgsl;
    // Quantized weights are read in whole blocks, or in two vectors.
    let weights = dtype.is_quantized() && !matches!(dtype, DType::Q8Heads | DType::Packed(_));
    let blocks = weights && kernel.library.contains(&"dots");
    let wide = |name, value| match name {
        "WIDE" if blocks => 8,
        "W_WIDE" if weights => 2,
        "W_FETCHES" if weights => value / 2,
        _ => value,
    };
    let defines = undeclared(&text).into_iter().map(|name| define(kernel, name));
    // A kernel that writes packed rows does not read them.
    let takes = |binding: &Binding| kernel.name == "matvec" || binding.element == Element::Activations;
    let element = |binding: &Binding| match dtype {
        DType::Packed(_) if !takes(binding) => element_of(binding, DType::F32),
        _ => element_of(binding, dtype),
    };
    Dispatch {
        kernel,
        defines: defines.map(|(name, value)| (name, wide(name, value))).collect(),
        resources: Vec::new(),
        elements: kernel.bindings.iter().map(element).collect(),
        shapes: vec![if dtype.is_ggml() { SUPER } else { SHAPE }; kernel.bindings.len()],
        params: Vec::new(),
        lanes: kernel.lanes,
        grid: [1; 3],
        barrier: false,
    }
}

/// Changes it to a dispatch with packed dot products. Its rows are packed here, or `taken` from another dispatch.
fn pack(dispatch: &mut Dispatch, taken: bool) {
    for (name, value) in &mut dispatch.defines {
        *value = match *name {
            "ROWS_ARE" if taken => RowsAre::PackedBefore as u32,
            "ROWS_ARE" => RowsAre::PackedHere as u32,
            "FLOAT_PRODUCTS" => u32::from(dispatch.kernel.name == "norm_matvec"),
            "WIDE" => 2,
            "SPREAD" if dispatch.kernel.name == "norm_matvec" => 2,
            _ => *value,
        };
    }
}

/// No kernel writes bf16 or quantized weights, only matrices are quantized, and only keys and values are heads of 8
/// bits. Packed rows are multiplied with weights of the same packing.
fn element_of(binding: &Binding, dtype: DType) -> DType {
    if let DType::Packed(packs) = dtype {
        return match (binding.element, binding.name, packs) {
            (Element::Activations, ..) | (Element::Vec16B, "x", _) => dtype,
            (Element::Vec16B, _, Packs::Bytes) => DType::Q8,
            (Element::Vec16B, _, Packs::Nibbles) => DType::Q4,
            _ => element_of(binding, DType::F32),
        };
    }
    let quantized = match dtype {
        DType::Q8Heads => ["keys", "values"].contains(&binding.name),
        _ => ["w", "gate", "up", "table"].contains(&binding.name),
    };
    match binding.element {
        Element::U32 => DType::U32,
        Element::F32 => DType::F32,
        Element::Float if binding.access.writes() && dtype == DType::Bf16 => DType::F32,
        Element::Activations if matches!(dtype, DType::F16 | DType::Packed(_)) => dtype,
        Element::Activations => DType::F32,
        Element::MatrixOperand if dtype == DType::F16 || dtype.is_quantized() && quantized => dtype,
        Element::KvRows if dtype == DType::F16 || dtype == DType::Q8Heads => dtype,
        Element::KvRows => DType::F32,
        Element::F16 | Element::MatrixOperand => DType::F16,
        Element::Float | Element::Vec16B if dtype.is_quantized() && !quantized => DType::F32,
        Element::Float | Element::Vec16B => dtype,
    }
}

/// The capital names that a text uses but does not declare: its defines.
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
