//! Chips and their published peaks, for floors: the time below which no program can do a piece of work.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::{
    compute::cost::Cost,
    error::{Error, Result},
};

/// A chip's peaks, as published. No program reaches them; a copy moves 80 to 90 % of the bandwidth.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chip {
    /// As its maker calls it.
    pub name: String,
    /// Memory bandwidth in GB/s (10⁹).
    pub bandwidth: f64,
    /// TFLOP/s in single precision, without matrix units.
    pub vector: f64,
    /// TFLOP/s of dense products of half precision with sums in single precision.
    pub matrix: f64,
    /// Where the figures come from.
    pub sources: Vec<String>,
    /// What is not published, and what stands for it.
    #[serde(default)]
    pub note: String,
}

/// Every chip of `chips.json`.
#[expect(clippy::missing_panics_doc, reason = "the table is compiled in and tested")]
pub fn all() -> &'static [Chip] {
    static CHIPS: OnceLock<Vec<Chip>> = OnceLock::new();
    CHIPS.get_or_init(|| serde_json::from_str(include_str!("chips.json")).expect("the table is tested"))
}

/// The chips that a backend runs on: Metal on Apple's alone.
pub fn of_backend(backend: &str) -> impl Iterator<Item = &'static Chip> {
    let metal = backend == "metal";
    all().iter().filter(move |chip| !metal || chip.name.starts_with("Apple"))
}

/// The chip of this name, with its maker's or without; capitals and spaces do not matter.
///
/// # Errors
/// [`Error::Request`] with the names that there are.
pub fn named(name: &str) -> Result<&'static Chip> {
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '_'], "");
    let alone = |chip: &Chip| chip.name.split_once(' ').map(|(_, rest)| plain(rest));
    let wanted = plain(name);
    let found = all().iter().find(|chip| plain(&chip.name) == wanted || alone(chip).as_ref() == Some(&wanted));
    found.ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|chip| chip.name.as_str()).collect();
        Error::Request(format!("no chip is called {name:?}; there are {}", names.join(", ")))
    })
}

/// Words of a device's name that make it another chip than the one that it is named after.
const VARIANTS: [&str; 16] = [
    "40gb", "d", "gre", "laptop", "max", "mobile", "mx", "nvl", "pcie", "pro", "q", "super", "ti", "ultra", "xl", "xt",
];

/// The chip of a device, by the name that its driver gives it; none where it is not in the table, or where the name is of
/// a variant that is not.
pub fn of_device(device: &str) -> Option<&'static Chip> {
    let words = |name: &str| -> Vec<String> {
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let device = words(device);
    all().iter().find(|chip| {
        let chip = words(&chip.name);
        let named = chip.iter().all(|word| device.contains(word));
        let varies = |word: &String| VARIANTS.contains(&word.as_str()) && !chip.contains(word);
        named && !device.iter().any(varies)
    })
}

impl Chip {
    /// Seconds that a cost takes at the least: what its bytes take, or its operations, whichever is longer.
    pub fn floor(&self, cost: &Cost) -> f64 {
        let memory = cost.moved() as f64 / (self.bandwidth * 1e9);
        let matrix = cost.flops.matrix as f64 / (self.matrix * 1e12);
        let vector = cost.flops.vector as f64 / (self.vector * 1e12);
        memory.max(matrix + vector)
    }
}
