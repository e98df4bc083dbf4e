//! What recording code may know of a device: its limits, and the work sizes that it prefers.

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

impl Caps {
    /// What a GPU of some kind usually offers, so that recordings can be made for one that is not there. Its memory is
    /// unknown and so never too small.
    pub fn typical(backend: &'static str, kind: DeviceKind) -> Self {
        let software = kind == DeviceKind::Software;
        let width = if software { 8 } else { 32 };
        Self {
            backend,
            device: format!("{} GPU on paper", format!("{kind:?}").to_lowercase()),
            driver: "none".into(),
            kind,
            memory: None,
            max_binding: if software { 128 << 20 } else { 2 << 30 },
            max_buffer: 4 << 30,
            group_memory: 32 << 10,
            subgroup: Some([width, width]),
            half: true,
            matrix_units: (!software).then_some(16),
            packed_dots: backend == "wgpu" && !software,
            lanes: 1024,
            tiles: Tiles::of(kind),
        }
    }

    /// What an Apple GPU of the last years offers through Metal (Apple7: the M1 and later). Its memory is unknown, as above.
    pub fn apple() -> Self {
        Self {
            device: "Apple GPU on paper".into(),
            max_binding: 4 << 30,
            matrix_units: Some(8),
            packed_dots: false,
            tiles: Tiles::apple(),
            ..Self::typical("metal", DeviceKind::Integrated)
        }
    }
}
