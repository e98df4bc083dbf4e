//! The seam. A backend owns memory and runs recordings; it knows no model and no operation.
//!
//! The trait is object-safe: which backend runs is decided at run time and nothing is generic over it. Errors cover
//! only what a caller cannot foresee: memory that is not there, a shader the driver refuses, a device that goes away.

use std::{future::Future, ops::Range, path::Path, pin::Pin, time::Duration};

use crate::{
    compute::pass::{Dispatch, Pass, Program},
    error::Result,
};

/// A buffer of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BufferId(pub u32);

/// Bytes on their way back from a device. Nothing but awaiting it waits; native callers use `pollster::block_on`.
pub type Pending = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// What kind of machine a backend computes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// The host's own cores, through the plain-loop kernels.
    Cpu,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU behind a virtual machine's interface.
    Virtual,
    /// A driver that emulates a GPU on the host's cores.
    Software,
}

/// Work sizes that a backend prefers. Operations compute grids from them and hand them to the shader as defines, so
/// grid arithmetic exists once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Rows and columns of the output that one `matmul` group computes.
    pub matmul: [u32; 2],
    /// How products with few rows are shared out.
    pub matvec: Few,
    /// Parts into which `attend_decode` splits a context, whatever its length.
    pub attend_splits: u32,
    /// How the subgroups of an `attend_mma` group share its work.
    pub attend_by: Strips,
    /// Most lanes that share a column of a recurrent state in `gdn_scan`.
    pub scan_team: u32,
    /// Squares of columns of a recurrent state that a subgroup has side by side in `gdn_chunk_state`.
    pub state_squares: u32,
    /// Tokens computed in one step that fill the device and keep it free for others soon enough.
    pub budget: u32,
    /// When quantised weights become halves before a product on matrix units, rather than inside of it.
    pub expand: Option<Expand>,
}

/// When quantised weights become halves in memory before they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expand {
    /// Least rows of the other operand.
    pub rows: u32,
    /// Most weights of a product.
    pub weights: u32,
}

/// How a product with few rows is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Few {
    /// Lanes of one group.
    pub lanes: u32,
    /// Least columns of one group.
    pub columns: u32,
    /// Most rows that share one reading of the weights: a power of two.
    pub rows: u32,
    /// Lanes that fill the device; where there are more, each computes several columns.
    pub fill: u32,
}

/// What one of several subgroups has of a tile of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strips {
    /// Some columns of all rows: scores are added up between subgroups.
    Columns,
    /// Some rows with all of their columns, in registers: nothing but what is staged passes between subgroups.
    Rows,
}

/// A product on matrix units turns each weight into a half once for every 64 or 128 rows. Writing all halves once takes about
/// as long as doing that one and a half times, and a launch: with fewer rows there is nothing to gain.
const WORTH_EXPANDING: u32 = 256;

/// 32 MB of halves stay in the second-level cache of large GPUs until they are multiplied. More of them, one such piece after
/// the other, leave most of a large GPU idle between pieces: an H200 was a third slower.
const EXPANDED: u32 = 1 << 24;

impl Expand {
    /// For devices whose caches hold what was just written.
    pub const USUAL: Self = Self { rows: WORTH_EXPANDING, weights: EXPANDED };
}

impl Tiles {
    /// What suits a GPU of some kind: enough parts of a context to fill it with one sequence, enough rows of a prompt to
    /// fill it with one product.
    pub fn of(kind: DeviceKind) -> Self {
        let (attend_splits, fill) = match kind {
            DeviceKind::Discrete | DeviceKind::Virtual => (64, 1 << 16),
            DeviceKind::Integrated => (16, 1 << 13),
            DeviceKind::Software | DeviceKind::Cpu => (4, 1 << 9),
        };
        let budget = if matches!(kind, DeviceKind::Discrete) { 2048 } else { 512 };
        let matvec = Few { lanes: 128, columns: 1, rows: 8, fill };
        Self {
            matmul: [64, 64],
            matvec,
            attend_splits,
            attend_by: Strips::Columns,
            scan_team: 8,
            state_squares: 1,
            budget,
            // Others would write and read halves through the memory that all of the machine shares.
            expand: matches!(kind, DeviceKind::Discrete).then_some(Expand::USUAL),
        }
    }

    /// What suits Apple's GPUs through Metal: as an integrated GPU, but no column of a product is shared by more lanes than
    /// a SIMD group has, which sum without threadgroup memory; and SIMD groups keep more in registers.
    pub fn apple() -> Self {
        let tiles = Self::of(DeviceKind::Integrated);
        let matvec = Few { lanes: 64, ..tiles.matvec };
        Self { matvec, attend_by: Strips::Rows, scan_team: 4, state_squares: 2, ..tiles }
    }
}

/// All that recording code may know of a backend.
#[derive(Clone, Debug)]
pub struct Caps {
    /// The backend's name: `cpu`, `wgpu`.
    pub backend: &'static str,
    /// The device, as its driver names it.
    pub device: String,
    /// The driver and interface, for people.
    pub driver: String,
    /// What kind of machine it is.
    pub kind: DeviceKind,
    /// Memory of the device in bytes, where it can be told.
    pub memory: Option<u64>,
    /// Largest range of one buffer that a kernel can bind, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Bytes of memory that the lanes of one group share.
    pub group_memory: u32,
    /// Smallest and largest subgroup, where kernels may use subgroup operations.
    pub subgroup: Option<[u32; 2]>,
    /// Whether shaders may compute in half precision.
    pub half: bool,
    /// Rows and columns of the squares that matrix units multiply, f16 by f16 with f32 sums, where kernels may use them.
    pub matrix_units: Option<u32>,
    /// Whether bytes are multiplied four at a time at full speed. Only where there are subgroups of four lanes or more.
    pub packed_dots: bool,
    /// Most lanes of one group.
    pub lanes: u32,
    /// Preferred work sizes.
    pub tiles: Tiles,
}

/// Owns memory and runs programs.
pub trait Backend: Send + Sync {
    /// What recording code may know.
    fn caps(&self) -> &Caps;

    /// A new buffer of `bytes` bytes, a multiple of 4; its contents are undefined.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] with `label`.
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId>;

    /// Gives a buffer back. Programs that use it must be gone.
    fn free(&self, id: BufferId);

    /// Copies `data` to byte `at` of a buffer; both are multiples of 4. Later runs see it, earlier ones do not.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device is lost.
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()>;

    /// The bytes of `range` as they are after everything submitted so far.
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending;

    /// Prepares a recording: pipelines, scratch memory, bind groups. The result may be run again and again.
    ///
    /// # Errors
    /// [`crate::Error::Shader`], [`crate::Error::OutOfMemory`] or [`crate::Error::Device`]: this is where compile
    /// errors, memory and limits surface.
    fn load(&self, pass: Pass) -> Result<Program>;

    /// Keeps what kernels compile to in a directory, from now on and from one process to the next. Where the directory
    /// cannot be written, or the backend has nothing to keep, everything works as without it.
    fn keep_pipelines(&self, _directory: &Path) {}

    /// Compiles what these launches need, which need not bind anything, so that loading them later is quick.
    ///
    /// # Errors
    /// [`crate::Error::Shader`] or [`crate::Error::Device`], as loading them would.
    fn compile(&self, _launches: &[Dispatch]) -> Result<()> {
        Ok(())
    }

    /// Submits a program of this backend. Runs are in order; this does not wait.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device is lost or an earlier run failed.
    fn run(&self, program: &Program) -> Result<()>;

    /// The same, and then what [`Backend::read`] does for each of some buffers; in one submission where handing over two
    /// would keep the device waiting between them.
    ///
    /// # Errors
    /// Those of [`Backend::run`].
    fn run_and_read(&self, program: &Program, wanted: &[(BufferId, Range<u64>)]) -> Result<Vec<Pending>> {
        self.run(program)?;
        Ok(wanted.iter().map(|(id, range)| self.read(*id, range.clone())).collect())
    }

    /// Runs a program launch by launch, waits, and says how long each launch took on the device, in order. None where
    /// the device has no clock. A launch alone takes longer than among its neighbours, so the sum is an upper bound.
    ///
    /// # Errors
    /// Those of [`Backend::run`] and [`Backend::wait`].
    fn time(&self, program: &Program) -> Result<Option<Vec<Duration>>> {
        self.run(program)?;
        self.wait()?;
        Ok(None)
    }

    /// Waits until everything submitted has finished.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if a run failed.
    fn wait(&self) -> Result<()>;
}
