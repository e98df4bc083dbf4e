//! What a kernel is: its bindings, its parameters, its text, and its meaning as a plain loop.

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
    /// Overwrites what it touches without looking.
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

/// What element types a binding takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element {
    /// f32, bound as an array of scalars.
    F32,
    /// u32 words.
    U32,
    /// f32, f16 or bf16, bound as an array of quads; the prelude says how a quad is unpacked and packed. What is only
    /// read may be quantised, bound as an array of words; the prelude says how a quad of them is found.
    Float,
    /// f16, bound as an array of quads; only for kernels that ask for half precision, as those for matrix units do.
    F16,
    /// What matrix units take: f16, or what is quantised, which becomes f16. What is written is f16, two quads at once.
    Halves,
    /// What is kept for later steps: f32 or f16 as quads, or heads of 8 bits, one to a row, whose codes and scales the
    /// prelude says how to write.
    Heads,
    /// What is left for a product: f32 or f16 as quads, or packed rows, of which the lanes of a block write their quads
    /// together; the prelude says how.
    Inputs,
    /// f32, f16, bf16 or what is quantised in rows of whole pieces of 4·WIDE elements, which the prelude says how to load:
    /// what lies side by side comes 16 bytes at a time.
    Wide,
}

impl Element {
    /// Whether a tensor of this type may be bound.
    pub fn takes(self, dtype: DType) -> bool {
        match self {
            Element::F32 => dtype == DType::F32,
            Element::U32 => dtype == DType::U32,
            Element::Float | Element::Wide => dtype != DType::U32,
            Element::F16 => dtype == DType::F16,
            Element::Halves => dtype.has_halves(),
            Element::Inputs => matches!(dtype, DType::F32 | DType::F16 | DType::Packed(_)),
            Element::Heads => matches!(dtype, DType::F32 | DType::F16 | DType::Q8Heads),
        }
    }
}

/// What a product of few rows multiplies: the define `ROWS_ARE` of its launch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowsAre {
    /// Floats, by weights that become floats.
    Floats,
    /// Bytes, four at a time: the launch packs its rows into pairs of bytes.
    PackedHere,
    /// Bytes, four at a time: an earlier launch has packed the rows.
    PackedBefore,
}

impl RowsAre {
    /// What shaders call these.
    pub const NAMES: [(&'static str, Self); 3] =
        [("FLOATS", Self::Floats), ("PACKED_HERE", Self::PackedHere), ("PACKED_BEFORE", Self::PackedBefore)];
}

/// One binding of a kernel; its position is its number in every shader.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its name in all four files.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// What it holds.
    pub element: Element,
}

impl Binding {
    /// A binding that is only read.
    pub const fn read(name: &'static str, element: Element) -> Self {
        Self { name, access: Access::Read, element }
    }

    /// A binding that is overwritten.
    pub const fn write(name: &'static str, element: Element) -> Self {
        Self { name, access: Access::Write, element }
    }

    /// A binding that is read and written, or written in part.
    pub const fn update(name: &'static str, element: Element) -> Self {
        Self { name, access: Access::Update, element }
    }
}

/// A launch constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// An unsigned number.
    U32(u32),
    /// A single.
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

/// The shader texts of a kernel, one for each shading language.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// WGSL, for the wgpu backend.
    pub wgsl: &'static str,
    /// MSL, for the Metal backend, where it is written.
    pub msl: Option<&'static str>,
    /// Whether every index in the texts is known to stay inside its array, so that compilers need not add checks.
    pub proven: bool,
}

impl Source {
    /// A WGSL text of which nothing is proven, for kernels outside of this crate.
    pub const fn wgsl(text: &'static str) -> Self {
        Self { wgsl: text, msl: None, proven: false }
    }
}

/// A kernel: what all backends agree on.
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
    /// Storage bindings, at most 8; a uniform with the parameters follows them if there are any.
    pub bindings: &'static [Binding],
    /// Launch constants: name and kind (the value here means nothing).
    pub params: &'static [(&'static str, Scalar)],
    /// Parts of the shader library that its text uses.
    pub library: &'static [&'static str],
    /// Lanes of one group, unless the launch says otherwise.
    pub lanes: u32,
    /// Its shader texts.
    pub source: Source,
    /// Its meaning: computes one group with plain loops.
    pub cpu: fn(&Group<'_>),
    /// What a launch costs at the least, where a row is alive; asked through [`Dispatch::cost`].
    pub cost: fn(&Dispatch, &Load) -> Cost,
}

/// A number for shader texts with their names, by which files made of them are told from those of other texts.
pub(crate) fn fingerprint<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in texts.flat_map(|(name, text)| [name, text]) {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}
