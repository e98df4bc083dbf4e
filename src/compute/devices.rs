//! Backend and device selection, at run time.

#[cfg(feature = "wgpu")]
mod gpus;

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    compute::{
        backend::Backend,
        caps::{Caps, DeviceKind},
        cpu::Cpu,
        metal,
    },
    error::{Error, Result},
};

/// The requested backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendChoice {
    /// The best available: Metal, then a GPU through wgpu, then the CPU.
    #[default]
    Auto,
    /// The CPU cores of the host.
    Cpu,
    /// A GPU through wgpu.
    Wgpu,
    /// A GPU through native Metal.
    Metal,
}

impl BackendChoice {
    /// All choices, in the order of the help text.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Cpu, Self::Wgpu, Self::Metal];

    /// The name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Metal => "metal",
        }
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Request(format!("no backend is called {name:?}: choose one of {names}"))
        })
    }
}

/// An open backend, and the reason for the choice.
pub struct Opened {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Why this backend was chosen.
    pub why: String,
    /// Better devices that were not chosen, with the reason for each.
    pub skipped: Vec<(String, String)>,
}

/// One entry of the device list.
#[derive(Clone, Debug)]
pub struct DeviceEntry {
    /// The number that `device` can give; `None` for the CPU.
    pub index: Option<usize>,
    /// Capabilities, such as backend, name, kind, driver, memory and limits.
    pub caps: Caps,
    /// The device's features that this crate uses, as text.
    pub features: Vec<&'static str>,
    /// Whether [`BackendChoice::Auto`] chooses it, if it opens.
    pub auto: bool,
}

/// Opens a backend; blocks until it is open. `device` is part of a device name, or a number of [`devices`].
///
/// # Errors
/// [`Error::NoBackend`] with each attempt and the reason it failed.
#[cfg(not(target_arch = "wasm32"))]
pub fn open(choice: BackendChoice, device: Option<&str>) -> Result<Opened> {
    pollster::block_on(open_async(choice, device))
}

/// Opens a backend, without blocking on a slow driver. `device` is part of a device name, or its number.
///
/// # Errors
/// [`Error::NoBackend`] with each attempt and the reason it failed.
pub async fn open_async(choice: BackendChoice, device: Option<&str>) -> Result<Opened> {
    match (choice, device) {
        (BackendChoice::Metal, device) => Ok(opened(named_metal(device)?, "asked for", Vec::new())),
        (BackendChoice::Cpu, None) => Ok(opened(cpu(), "asked for", Vec::new())),
        (BackendChoice::Cpu, Some(_)) => Err(none("cpu", "it has no devices to choose from; leave the device out")),
        (BackendChoice::Wgpu, Some(device)) => gpus::named(device).await,
        // Device numbers belong to wgpu.
        (BackendChoice::Auto, Some(device)) => match named_metal(Some(device)) {
            Ok(backend) if device.parse::<usize>().is_err() => Ok(opened(backend, "named", Vec::new())),
            _ => gpus::named(device).await,
        },
        (BackendChoice::Wgpu, None) => {
            let mut reasons = Vec::new();
            match gpus::best(&mut reasons).await {
                Some(opened) => Ok(Opened { skipped: reasons, ..opened }),
                None => Err(Error::NoBackend { reasons }),
            }
        }
        (BackendChoice::Auto, None) => Ok(auto().await),
    }
}

async fn auto() -> Opened {
    let mut skipped = match metal::open() {
        Ok(backend) => return opened(backend, "the GPU of this Mac", Vec::new()),
        Err(Error::NoBackend { reasons }) => reasons,
        Err(other) => vec![("metal".to_owned(), other.to_string())],
    };
    match gpus::best(&mut skipped).await {
        Some(opened) => Opened { skipped, ..opened },
        None => opened(cpu(), "no GPU was usable", skipped),
    }
}

/// The single GPU that Metal offers here; a requested device must match its name.
fn named_metal(device: Option<&str>) -> Result<Arc<dyn Backend>> {
    let backend = metal::open()?;
    let name = &backend.caps().device;
    match device.filter(|device| !name.to_lowercase().contains(&device.to_lowercase())) {
        Some(device) => Err(none("metal", &format!("its device is {name}, which {device:?} does not name"))),
        None => Ok(backend),
    }
}

fn cpu() -> Arc<dyn Backend> {
    Arc::new(Cpu::default())
}

fn opened(backend: Arc<dyn Backend>, why: &str, skipped: Vec<(String, String)>) -> Opened {
    Opened { backend, why: why.into(), skipped }
}

fn none(who: &str, why: &str) -> Error {
    Error::NoBackend { reasons: vec![(who.into(), why.into())] }
}

/// Rank of a kind of GPU, best first; `None` for software drivers and the CPU.
fn rank(kind: DeviceKind) -> Option<u32> {
    match kind {
        DeviceKind::Discrete => Some(0),
        DeviceKind::Integrated => Some(1),
        DeviceKind::Virtual => Some(2),
        DeviceKind::Software | DeviceKind::Cpu => None,
    }
}

/// Every device of every backend in this build. Each backend lists the devices that [`BackendChoice::Auto`] prefers first.
/// Blocks until the drivers answer.
#[cfg(not(target_arch = "wasm32"))]
pub fn devices() -> Vec<DeviceEntry> {
    pollster::block_on(devices_async())
}

/// Every device of every backend in this build. Each backend lists the devices that [`BackendChoice::Auto`] prefers first.
pub async fn devices_async() -> Vec<DeviceEntry> {
    let entry = |caps: Caps| {
        let features = caps.matrix_units.map(|_| "matrix units");
        DeviceEntry { index: None, caps, features: features.into_iter().collect(), auto: false }
    };
    let mut entries: Vec<_> = metal::devices().into_iter().map(entry).collect();
    entries.extend(gpus::all().await);
    entries.push(entry(cpu().caps().clone()));
    // Native Metal ranks above the same GPU through wgpu.
    let order = |entry: &DeviceEntry| match entry.caps.backend {
        "metal" => Some((0, 0)),
        _ => rank(entry.caps.kind).map(|rank| (1, rank)),
    };
    let ranks = entries.iter().enumerate().filter_map(|(at, entry)| Some((order(entry)?, at)));
    let taken = ranks.min().map_or(entries.len() - 1, |(_, at)| at);
    entries[taken].auto = true;
    entries
}

/// A build without wgpu has no GPUs from it.
#[cfg(not(feature = "wgpu"))]
mod gpus {
    use super::{DeviceEntry, Opened, Result, none};

    const WITHOUT: &str = "this build is without it; build with --features wgpu";

    pub(super) async fn all() -> Vec<DeviceEntry> {
        Vec::new()
    }

    pub(super) async fn best(skipped: &mut Vec<(String, String)>) -> Option<Opened> {
        skipped.push(("wgpu".into(), WITHOUT.into()));
        None
    }

    pub(super) async fn named(_: &str) -> Result<Opened> {
        Err(none("wgpu", WITHOUT))
    }
}
