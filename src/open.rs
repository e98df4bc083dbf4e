//! Which backend runs, decided when the program does.

use std::{fmt, str::FromStr, sync::Arc};

#[cfg(feature = "wgpu")]
use crate::wgpu::{Adapter, Restrict, Wgpu};
use crate::{
    backend::{Backend, Caps, DeviceKind},
    cpu::Cpu,
    error::{Error, Result},
    metal,
};

/// The backend that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
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

impl Choice {
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

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Choice {
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
    /// Whether [`Choice::Auto`] takes it, if it opens.
    pub auto: bool,
}

/// Opens a backend. `device` is a part of a device's name or its number, as [`devices`] tells them.
///
/// # Errors
/// [`Error::NoBackend`] with what was tried and why it was not taken.
pub fn open(choice: Choice, device: Option<&str>) -> Result<Opened> {
    match (choice, device) {
        (Choice::Metal, _) => Ok(opened(metal::open()?, "asked for", Vec::new())),
        (Choice::Cpu, None) => Ok(opened(cpu(), "asked for", Vec::new())),
        (Choice::Cpu, Some(_)) => Err(none("cpu", "it has no devices to choose from; leave the device out")),
        (Choice::Wgpu | Choice::Auto, Some(device)) => named(device),
        (Choice::Wgpu, None) => {
            let mut skipped = Vec::new();
            best(&mut skipped).ok_or_else(|| {
                skipped.push(("cpu".into(), "not asked for; --backend auto or --backend cpu takes it".into()));
                Error::NoBackend { reasons: std::mem::take(&mut skipped) }
            })
        }
        (Choice::Auto, None) => Ok(auto()),
    }
}

fn auto() -> Opened {
    let mut skipped = vec![("metal".to_owned(), metal::NOT_BUILT.to_owned())];
    match best(&mut skipped) {
        Some(opened) => Opened { skipped, ..opened },
        None => opened(cpu(), "no GPU was usable", skipped),
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

/// Every device of every backend in this build, those that [`Choice::Auto`] prefers first in each backend's own order.
pub fn devices() -> Vec<DeviceEntry> {
    let mut entries = through_wgpu();
    entries.push(DeviceEntry { index: None, caps: cpu().caps().clone(), features: Vec::new(), auto: false });
    let ranks = entries.iter().enumerate().filter_map(|(at, entry)| Some((rank(entry.caps.kind)?, at)));
    let taken = ranks.min().map_or(entries.len() - 1, |(_, at)| at);
    entries[taken].auto = true;
    entries
}

#[cfg(feature = "wgpu")]
fn through_wgpu() -> Vec<DeviceEntry> {
    let entry = |(index, adapter): (usize, &Adapter)| DeviceEntry {
        index: Some(index),
        caps: adapter.caps().clone(),
        features: adapter.features(),
        auto: false,
    };
    Wgpu::adapters().iter().enumerate().map(entry).collect()
}

/// The best GPU that opens; notes why others do not.
#[cfg(feature = "wgpu")]
fn best(skipped: &mut Vec<(String, String)>) -> Option<Opened> {
    let adapters = Wgpu::adapters();
    if adapters.is_empty() {
        skipped.push(("wgpu".into(), "no driver offers a device".into()));
    }
    let mut ranked = Vec::new();
    for adapter in &adapters {
        match rank(adapter.caps().kind) {
            Some(rank) => ranked.push((rank, adapter)),
            None => skipped.push((adapter.caps().device.clone(), software(adapter))),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    for (_, adapter) in ranked {
        match take(adapter, &format!("the best of {} found", adapters.len())) {
            Ok(opened) => return Some(opened),
            Err(error) => skipped.push((adapter.caps().device.clone(), error.to_string())),
        }
    }
    None
}

/// Why a software device is not taken unasked, and how to ask.
#[cfg(feature = "wgpu")]
fn software(adapter: &Adapter) -> String {
    let name = &adapter.caps().device;
    let word = name.split_whitespace().next().unwrap_or(name).to_lowercase();
    format!("a software driver, slower than the cpu backend; --backend wgpu --device {word} takes it")
}

/// The device that `device` names, whatever its kind.
#[cfg(feature = "wgpu")]
fn named(device: &str) -> Result<Opened> {
    let adapters = Wgpu::adapters();
    let by_number = device.parse().ok().and_then(|index: usize| adapters.get(index));
    let wanted = device.to_lowercase();
    let by_name = || adapters.iter().find(|adapter| adapter.caps().device.to_lowercase().contains(&wanted));
    match by_number.or_else(by_name) {
        Some(adapter) => take(adapter, &format!("named by {device:?}")),
        None => {
            let there = |(index, adapter): (usize, &Adapter)| {
                (format!("device {index}"), format!("{}, which {device:?} does not name", adapter.caps().device))
            };
            let mut reasons: Vec<_> = adapters.iter().enumerate().map(there).collect();
            if reasons.is_empty() {
                reasons.push(("wgpu".into(), format!("no driver offers a device, let alone {device:?}")));
            }
            Err(Error::NoBackend { reasons })
        }
    }
}

#[cfg(feature = "wgpu")]
fn take(adapter: &Adapter, why: &str) -> Result<Opened> {
    let backend: Arc<dyn Backend> = Arc::new(Wgpu::open(adapter, Restrict::default())?);
    Ok(opened(backend, why, Vec::new()))
}

#[cfg(not(feature = "wgpu"))]
const WITHOUT: &str = "this build is without it; build with --features wgpu";

#[cfg(not(feature = "wgpu"))]
fn through_wgpu() -> Vec<DeviceEntry> {
    Vec::new()
}

#[cfg(not(feature = "wgpu"))]
fn best(skipped: &mut Vec<(String, String)>) -> Option<Opened> {
    skipped.push(("wgpu".into(), WITHOUT.into()));
    None
}

#[cfg(not(feature = "wgpu"))]
fn named(_: &str) -> Result<Opened> {
    Err(none("wgpu", WITHOUT))
}
