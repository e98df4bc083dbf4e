//! A device's capabilities: the limits and preferred work sizes that recording code may use.

/// The kind of device a backend computes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// The CPU cores of the host, through the plain-loop kernels.
    Cpu,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with its own memory.
    Discrete,
    /// A GPU behind a virtual machine's interface.
    Virtual,
    /// A driver that emulates a GPU on the CPU cores of the host.
    Software,
}

/// Work sizes that a backend prefers. Operations compute grids from them and pass them to the shader as defines, so
/// grid arithmetic exists once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Rows and columns of the output tile of one `matmul` workgroup.
    pub matmul: [u32; 2],
    /// Tiling of products with few rows.
    pub matvec: MatvecSizes,
    /// Number of splits of a context in `attend_decode`, for every context length.
    pub attend_splits: u32,
    /// Maximum number of lanes per column of a recurrent state in `gdn_scan`.
    pub scan_team: u32,
    /// Column fragments of a recurrent state that one subgroup holds side by side in `gdn_chunk_state`.
    pub state_fragments: u32,
    /// Token budget of one step: enough to saturate the device, few enough to release it soon for other programs.
    pub budget: u32,
    /// When to dequantize weights to f16 in memory before a product on matrix units; `None`: always inside the product.
    pub dequantize_first: Option<DequantizeFirst>,
}

/// When to dequantize weights to f16 in memory before the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DequantizeFirst {
    /// Minimum rows of the other operand.
    pub rows: u32,
    /// Maximum weights of a product.
    pub weights: u32,
}

/// Tiling of products with few rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatvecSizes {
    /// Lanes of one workgroup.
    pub lanes: u32,
    /// Minimum columns of one workgroup.
    pub columns: u32,
    /// Maximum rows that share one read of the weights: a power of two.
    pub rows: u32,
    /// Lanes that saturate the device. With more lanes, each computes several columns.
    pub saturating_lanes: u32,
}

/// A product on matrix units converts each weight to f16 once for every 64 or 128 rows. Writing all f16 weights first
/// takes about as long as 1.5 such conversions, plus a dispatch. With fewer rows it gains nothing.
const MIN_ROWS: u32 = 256;

/// 32 MB of f16 weights stay in the L2 cache of large GPUs until the product reads them. Dequantizing more, one part
/// after another, leaves most of a large GPU idle between parts: an H200 was a third slower.
const MAX_WEIGHTS: u32 = 1 << 24;

impl DequantizeFirst {
    /// For devices whose cache holds recently written data.
    pub const USUAL: Self = Self { rows: MIN_ROWS, weights: MAX_WEIGHTS };
}

impl Tiles {
    /// Work sizes for a kind of GPU: enough context splits to saturate it with one sequence, and enough prefill rows to
    /// saturate it with one product.
    pub fn of(kind: DeviceKind) -> Self {
        let (attend_splits, saturating_lanes) = match kind {
            DeviceKind::Discrete | DeviceKind::Virtual => (64, 1 << 16),
            DeviceKind::Integrated => (16, 1 << 13),
            DeviceKind::Software | DeviceKind::Cpu => (4, 1 << 9),
        };
        let budget = if matches!(kind, DeviceKind::Discrete) { 2048 } else { 512 };
        let matvec = MatvecSizes { lanes: 128, columns: 1, rows: 8, saturating_lanes };
        Self {
            matmul: [64, 64],
            matvec,
            attend_splits,
            scan_team: 8,
            state_fragments: 1,
            budget,
            // The other kinds would write and read f16 weights through memory shared with the whole machine.
            dequantize_first: matches!(kind, DeviceKind::Discrete).then_some(DequantizeFirst::USUAL),
        }
    }

    /// Work sizes for Apple GPUs through Metal: those of an integrated GPU with two changes. At most one SIMD group
    /// shares a column of a product, so the sum needs no threadgroup memory; and SIMD groups keep more in registers.
    pub fn apple() -> Self {
        let tiles = Self::of(DeviceKind::Integrated);
        let matvec = MatvecSizes { lanes: 64, ..tiles.matvec };
        Self { matvec, scan_team: 4, state_fragments: 2, ..tiles }
    }
}

/// The shading language of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadingLanguage {
    /// The WebGPU Shading Language.
    Wgsl,
    /// The Metal Shading Language.
    Msl,
}

/// Everything that recording code may know about a backend.
#[derive(Clone, Debug)]
pub struct Caps {
    /// The backend's name: `cpu`, `wgpu`, `metal`.
    pub backend: &'static str,
    /// The device's name, as reported by its driver.
    pub device: String,
    /// The driver and interface, as text for the user.
    pub driver: String,
    /// The kind of device.
    pub kind: DeviceKind,
    /// Device memory in bytes; `None` if unknown.
    pub memory: Option<u64>,
    /// Largest range of one buffer that a kernel can bind, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Bytes of workgroup memory.
    pub group_memory: u32,
    /// Minimum and maximum subgroup size; `None` if kernels may not use subgroup operations.
    pub subgroup: Option<[u32; 2]>,
    /// Whether shaders may compute in f16.
    pub half: bool,
    /// Rows and columns of the fragments that matrix units multiply (f16 by f16, f32 sums); `None` if kernels may not
    /// use matrix units.
    pub matrix_units: Option<u32>,
    /// Whether the device multiplies packed bytes, four at a time, at full speed. Requires subgroups of at least four
    /// lanes.
    pub packed_dots: bool,
    /// Maximum lanes of one workgroup.
    pub lanes: u32,
    /// Preferred work sizes.
    pub tiles: Tiles,
}

impl Caps {
    /// The shading language of the backend; WGSL for a backend that compiles no shaders.
    pub fn language(&self) -> ShadingLanguage {
        if self.backend == "metal" { ShadingLanguage::Msl } else { ShadingLanguage::Wgsl }
    }

    /// Typical capabilities of a kind of GPU, to make recordings without the device. Its memory is unknown and so never
    /// too small.
    pub fn typical(backend: &'static str, kind: DeviceKind) -> Self {
        let software = kind == DeviceKind::Software;
        let width = if software { 8 } else { 32 };
        Self {
            backend,
            device: format!("{} GPU, dry run", format!("{kind:?}").to_lowercase()),
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

    /// Typical capabilities of recent Apple GPUs through Metal (Apple7: the M1 and later). Its memory is unknown, as
    /// above.
    pub fn apple() -> Self {
        Self {
            device: "Apple GPU, dry run".into(),
            max_binding: 4 << 30,
            matrix_units: Some(8),
            packed_dots: false,
            tiles: Tiles::apple(),
            ..Self::typical("metal", DeviceKind::Integrated)
        }
    }
}
