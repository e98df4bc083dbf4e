//! A kernel: its bindings, parameters, shader texts, and its definition as a plain loop.

mod dispatch;
mod floats;
mod group;
pub(super) mod host_memory;

use std::hash::{DefaultHasher, Hasher};

use crate::compute::{
    cost::{Cost, Load},
    dtype::DType,
};
pub use dispatch::Dispatch;
pub use floats::Floats;
pub use group::Group;

/// How a kernel uses a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Only reads it.
    Read,
    /// Overwrites elements without reading them.
    Write,
    /// Reads and writes it, or writes only part of it.
    Update,
}

impl Access {
    /// Whether the contents may change.
    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// The element types that a binding accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element {
    /// f32, bound as a scalar array.
    F32,
    /// u32 words.
    U32,
    /// f32, f16 or bf16, bound as an array of vec4. The prelude defines how to unpack and pack one vec4. A read-only
    /// binding may also be quantized, bound as an array of words; the prelude defines how to decode four elements.
    Float,
    /// f16, bound as an array of vec4; only for kernels that require f16, such as those for matrix units.
    F16,
    /// Operands of matrix units: f16, or quantized types, which become f16. Outputs are f16, two vec4 at a time.
    MatrixOperand,
    /// Keys and values: f32 or f16 as vec4, or 8-bit heads, one per row. The prelude defines how to write their codes
    /// and scales.
    KvRows,
    /// Activations of a later product: f32 or f16 as vec4, or packed rows. The lanes of a block write them together,
    /// as the prelude defines.
    Activations,
    /// f32, f16, bf16 or quantized, in rows of a multiple of 4·WIDE elements. The prelude defines the load, 16 adjacent
    /// bytes at a time.
    Vec16B,
}

impl Element {
    /// Whether a tensor of this type can be bound.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Element::F32 => dtype == DType::F32,
            Element::U32 => dtype == DType::U32,
            Element::Float | Element::Vec16B => dtype != DType::U32,
            Element::F16 => dtype == DType::F16,
            Element::MatrixOperand => dtype.suits_matrix_units(),
            Element::Activations => matches!(dtype, DType::F32 | DType::F16 | DType::Packed(_)),
            Element::KvRows => matches!(dtype, DType::F32 | DType::F16 | DType::Q8Heads),
        }
    }
}

/// The operand of a product with few rows: the define `ROWS_ARE` of its dispatch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowsAre {
    /// Floats, multiplied by weights converted to floats.
    Floats,
    /// Bytes, multiplied four at a time: this dispatch packs its rows into pairs of bytes.
    PackedHere,
    /// Bytes, multiplied four at a time: an earlier dispatch has packed the rows.
    PackedBefore,
}

impl RowsAre {
    /// The names in shaders.
    pub const NAMES: [(&'static str, Self); 3] =
        [("FLOATS", Self::Floats), ("PACKED_HERE", Self::PackedHere), ("PACKED_BEFORE", Self::PackedBefore)];
}

/// One binding of a kernel. Its position is its binding number in every shader.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its name in all four files.
    pub name: &'static str,
    /// How the kernel accesses it.
    pub access: Access,
    /// The element types that it accepts.
    pub element: Element,
}

impl Binding {
    /// A read-only binding.
    pub const fn read(name: &'static str, element: Element) -> Self {
        Self { name, access: Access::Read, element }
    }

    /// A binding that is only overwritten.
    pub const fn write(name: &'static str, element: Element) -> Self {
        Self { name, access: Access::Write, element }
    }

    /// A binding that is read and written, or written in part.
    pub const fn update(name: &'static str, element: Element) -> Self {
        Self { name, access: Access::Update, element }
    }
}

/// A dispatch constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// An unsigned 32-bit integer.
    U32(u32),
    /// An f32.
    F32(f32),
}

impl Scalar {
    pub(crate) fn same_kind(self, other: Scalar) -> bool {
        matches!((self, other), (Scalar::U32(_), Scalar::U32(_)) | (Scalar::F32(_), Scalar::F32(_)))
    }

    pub(crate) fn bits(self) -> u32 {
        match self {
            Scalar::U32(value) => value,
            Scalar::F32(value) => value.to_bits(),
        }
    }
}

impl From<u32> for Scalar {
    fn from(value: u32) -> Self {
        Scalar::U32(value)
    }
}

impl From<f32> for Scalar {
    fn from(value: f32) -> Self {
        Scalar::F32(value)
    }
}

/// The shader texts of a kernel, one per shading language.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// WGSL, for the wgpu backend.
    pub wgsl: &'static str,
    /// MSL, for the Metal backend, if it exists.
    pub msl: Option<&'static str>,
    /// Whether every index in the texts is proven to be in bounds, so that compilers need not add bounds checks.
    pub proven: bool,
}

impl Source {
    /// A WGSL text with unproven indices, for kernels outside this crate.
    pub const fn wgsl(text: &'static str) -> Self {
        Self { wgsl: text, msl: None, proven: false }
    }
}

/// A kernel: the definition that all backends share.
///
/// ```
/// # fn main() -> bimetal::Result<()> {
/// use bimetal::{
///     BackendChoice,
///     low_level::compute::{
///         cost::Cost,
///         dtype::DType,
///         kernel::{Binding, Element, Kernel, Source},
///         pass::Pass,
///         tensor::Tensor,
///     },
/// };
///
/// /// y\[i\] = 2 x\[i\], 64 of them in each group.
/// static DOUBLE: Kernel = Kernel {
///     name: "double",
///     bindings: &[Binding::read("x", Element::F32), Binding::write("y", Element::F32)],
///     params: &[],
///     library: &[],
///     lanes: 64,
///     source: Source::wgsl(
///         "@group(0) @binding(0) var<storage, read> x: array<f32>;
///         @group(0) @binding(1) var<storage, read_write> y: array<f32>;
///
///         @compute @workgroup_size(LANES)
///         fn double(@builtin(global_invocation_id) id: vec3<u32>) {
///             if id.x < COUNT {
///                 y[id.x] = 2.0 * x[id.x];
///             }
///         }",
///     ),
///     cpu: |group| {
///         let range = group.at(0) * 64..((group.at(0) + 1) * 64).min(group.define("COUNT"));
///         let doubled: Vec<f32> = group.floats("x", range.clone()).to_vec().iter().map(|x| 2.0 * x).collect();
///         group.store("y", range.start, &doubled);
///     },
///     cost: |_, _| Cost::default(),
/// };
///
/// let backend = bimetal::open(BackendChoice::Cpu, None)?.backend;
/// let x = Tensor::from_slice(&backend, [1, 4], DType::F32, "x", &[1.0_f32, 2.0, 3.0, 4.0])?;
/// let mut y = Tensor::new(&backend, [1, 4], DType::F32, "y")?;
/// let pass = Pass::new(backend.caps());
/// pass.dispatch(&DOUBLE).define("COUNT", 4).read(&x).write(&mut y).grid([1, 1, 1]);
/// backend.run(&backend.load(pass)?)?;
/// let bytes = pollster::block_on(y.read(0..4))?;
/// assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes), [2.0, 4.0, 6.0, 8.0]);
/// # Ok(())
/// # }
/// ```
pub struct Kernel {
    /// Its name: the stem of its files and the shader's entry point.
    pub name: &'static str,
    /// Storage bindings, at most 8. A uniform with the parameters follows them if there are any.
    pub bindings: &'static [Binding],
    /// Dispatch constants: name and type (the value here is ignored).
    pub params: &'static [(&'static str, Scalar)],
    /// Parts of the shader library that the text uses.
    pub library: &'static [&'static str],
    /// Lanes of one workgroup; a dispatch can override it.
    pub lanes: u32,
    /// Its shader texts.
    pub source: Source,
    /// The definition: computes one workgroup with plain loops.
    pub cpu: fn(&Group<'_>),
    /// The roofline cost of a dispatch with active rows; read it through [`Dispatch::cost`].
    pub cost: fn(&Dispatch, &Load) -> Cost,
}

/// A fingerprint of named shader texts. It identifies files compiled from these texts.
pub(crate) fn fingerprint<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in texts.flat_map(|(name, text)| [name, text]) {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}
