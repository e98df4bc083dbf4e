//! Chips and their published peaks, for rooflines: lower bounds on the time of a computation.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::{
    compute::cost::Cost,
    error::{Error, Result},
};

/// Published peaks of a chip. No program reaches them; a copy reaches 80 to 90 % of the bandwidth.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chip {
    /// The maker's name for it.
    pub name: String,
    /// Memory bandwidth in GB/s (10⁹ bytes/s).
    pub bandwidth: f64,
    /// TFLOP/s in f32, without matrix units.
    pub vector: f64,
    /// TFLOP/s of dense f16 products with f32 sums.
    pub matrix: f64,
    /// Sources of the figures.
    pub sources: Vec<String>,
    /// Unpublished figures, and the values used instead.
    #[serde(default)]
    pub note: String,
}

/// Every chip of `chips.json`.
#[expect(clippy::missing_panics_doc, reason = "the table is compiled in and tested")]
pub fn all() -> &'static [Chip] {
    static CHIPS: OnceLock<Vec<Chip>> = OnceLock::new();
    CHIPS.get_or_init(|| serde_json::from_str(include_str!("chips.json")).expect("the table is tested"))
}

/// The chips that a backend may run on; Metal runs only on Apple's.
pub fn of_backend(backend: &str) -> impl Iterator<Item = &'static Chip> {
    let metal = backend == "metal";
    all().iter().filter(move |chip| !metal || chip.is_apple())
}

/// The chip with this name, with or without its maker's. Ignores case and spaces.
///
/// # Errors
/// [`Error::Request`] with the known names.
pub fn named(name: &str) -> Result<&'static Chip> {
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '_'], "");
    let alone = |chip: &Chip| chip.name.split_once(' ').map(|(_, rest)| plain(rest));
    let wanted = plain(name);
    let found = all().iter().find(|chip| plain(&chip.name) == wanted || alone(chip).as_ref() == Some(&wanted));
    found.ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|chip| chip.name.as_str()).collect();
        Error::Request(format!("unknown chip {name:?}: choose one of {}", names.join(", ")))
    })
}

/// Words in a device name that mark a different chip, a variant of the named one.
const VARIANTS: [&str; 16] = [
    "40gb", "d", "gre", "laptop", "max", "mobile", "mx", "nvl", "pcie", "pro", "q", "super", "ti", "ultra", "xl", "xt",
];

/// The chip of a device, by the name from its driver. `None` if the chip, or this variant of it, is not in the table.
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
    /// Whether Metal runs on it.
    pub fn is_apple(&self) -> bool {
        self.name.starts_with("Apple")
    }

    /// Roofline time of a cost in seconds: the longer of its memory time and its compute time.
    pub fn roofline(&self, cost: &Cost) -> f64 {
        let memory = cost.moved() as f64 / (self.bandwidth * 1e9);
        let matrix = cost.flops.matrix as f64 / (self.matrix * 1e12);
        let vector = cost.flops.vector as f64 / (self.vector * 1e12);
        memory.max(matrix + vector)
    }
}
