//! Which backend runs, decided when the program does.

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

/// The backend that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendChoice {
    /// The best that is there: Metal, then a GPU through wgpu, then the host's cores.
    #[default]
    Auto,
    /// The host's cores.
    Cpu,
    /// A GPU through wgpu.
    Wgpu,
    /// A GPU through Metal itself.
    Metal,
}

impl BackendChoice {
    /// All of them, in the order in which help lists them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Cpu, Self::Wgpu, Self::Metal];

    /// The name that it is asked for by.
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

/// An open backend, and how the choice fell on it.
pub struct Opened {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Why it was taken.
    pub why: String,
    /// What would have been better but was not taken, and why not.
    pub skipped: Vec<(String, String)>,
}

/// What `devices` tells of one device.
#[derive(Clone, Debug)]
pub struct DeviceEntry {
    /// Its number, by which `device` may name it; the host's cores have none.
    pub index: Option<usize>,
    /// What it can do: backend, name, kind, driver, memory and limits among it.
    pub caps: Caps,
    /// Features that it offers and this crate knows, in words.
    pub features: Vec<&'static str>,
    /// Whether [`BackendChoice::Auto`] takes it, if it opens.
    pub auto: bool,
}

/// Opens a backend. `device` is a part of a device's name or its number, as [`devices`] tells them.
///
/// # Errors
/// [`Error::NoBackend`] with what was tried and why it was not taken.
pub fn open(choice: BackendChoice, device: Option<&str>) -> Result<Opened> {
    match (choice, device) {
        (BackendChoice::Metal, device) => Ok(opened(named_metal(device)?, "asked for", Vec::new())),
        (BackendChoice::Cpu, None) => Ok(opened(cpu(), "asked for", Vec::new())),
        (BackendChoice::Cpu, Some(_)) => Err(none("cpu", "it has no devices to choose from; leave the device out")),
        (BackendChoice::Wgpu, Some(device)) => gpus::named(device),
        // Numbers are wgpu's devices'.
        (BackendChoice::Auto, Some(device)) => match named_metal(Some(device)) {
            Ok(backend) if device.parse::<usize>().is_err() => Ok(opened(backend, "named", Vec::new())),
            _ => gpus::named(device),
        },
        (BackendChoice::Wgpu, None) => {
            let mut reasons = Vec::new();
            match gpus::best(&mut reasons) {
                Some(opened) => Ok(Opened { skipped: reasons, ..opened }),
                None => Err(Error::NoBackend { reasons }),
            }
        }
        (BackendChoice::Auto, None) => Ok(auto()),
    }
}

fn auto() -> Opened {
    let mut skipped = match metal::open() {
        Ok(backend) => return opened(backend, "the GPU of this Mac", Vec::new()),
        Err(Error::NoBackend { reasons }) => reasons,
        Err(other) => vec![("metal".to_owned(), other.to_string())],
    };
    match gpus::best(&mut skipped) {
        Some(opened) => Opened { skipped, ..opened },
        None => opened(cpu(), "no GPU was usable", skipped),
    }
}

/// The one GPU that Metal has here, which a device that is asked for must name.
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

/// How much better a kind of GPU is than others; software and the host's cores are none.
fn rank(kind: DeviceKind) -> Option<u32> {
    match kind {
        DeviceKind::Discrete => Some(0),
        DeviceKind::Integrated => Some(1),
        DeviceKind::Virtual => Some(2),
        DeviceKind::Software | DeviceKind::Cpu => None,
    }
}

/// Every device of every backend in this build, those that [`BackendChoice::Auto`] prefers first in each backend's own order.
pub fn devices() -> Vec<DeviceEntry> {
    let entry = |caps: Caps| {
        let features = caps.matrix_units.map(|_| "matrix units");
        DeviceEntry { index: None, caps, features: features.into_iter().collect(), auto: false }
    };
    let mut entries: Vec<_> = metal::devices().into_iter().map(entry).collect();
    entries.extend(gpus::all());
    entries.push(entry(cpu().caps().clone()));
    // Metal itself comes before the same GPU through wgpu.
    let order = |entry: &DeviceEntry| match entry.caps.backend {
        "metal" => Some((0, 0)),
        _ => rank(entry.caps.kind).map(|rank| (1, rank)),
    };
    let ranks = entries.iter().enumerate().filter_map(|(at, entry)| Some((order(entry)?, at)));
    let taken = ranks.min().map_or(entries.len() - 1, |(_, at)| at);
    entries[taken].auto = true;
    entries
}

/// A build without wgpu finds no GPU.
#[cfg(not(feature = "wgpu"))]
mod gpus {
    use super::{DeviceEntry, Opened, Result, none};

    const WITHOUT: &str = "this build is without it; build with --features wgpu";

    pub(super) fn all() -> Vec<DeviceEntry> {
        Vec::new()
    }

    pub(super) fn best(skipped: &mut Vec<(String, String)>) -> Option<Opened> {
        skipped.push(("wgpu".into(), WITHOUT.into()));
        None
    }

    pub(super) fn named(_: &str) -> Result<Opened> {
        Err(none("wgpu", WITHOUT))
    }
}
