//! The backends to test on this machine. `REQUIRE=cpu,wgpu` makes a missing backend a failure, so that a test cannot
//! pass without comparing anything. `matrix` requires matrix units.

use std::sync::{Arc, OnceLock};

use bimetal::{Backend, low_level::compute::cpu::Cpu};

use super::survey::{self, Finding};

/// A backend and its name in tests.
pub type Present = (&'static str, Arc<dyn Backend>);

/// A backend that is here, or the reason for its absence.
type Found = (&'static str, Result<Arc<dyn Backend>, String>);

/// Every backend of this machine: `cpu`; `wgpu` with all features of its adapter; `wgpu-plain`, the same adapter with
/// only WebGPU's guarantees; `metal` on a Mac; and with the feature `emulator`, `emulator`: the Metal backend on it.
///
/// Software Vulkan works off one device on one thread, so each is opened twice: two tests at once do not wait for each
/// other. A test gets the ones that are in less use.
///
/// # Panics
/// If a backend that `REQUIRE` names is absent.
pub fn backends() -> Vec<Present> {
    static FOUND: [OnceLock<Vec<Present>>; 2] = [OnceLock::new(), OnceLock::new()];
    let uses = |found: &OnceLock<Vec<Present>>| found.get().map_or(0, |found| found.iter().map(users).sum());
    let least = FOUND.iter().min_by_key(|found| uses(found));
    least.expect("there are two").get_or_init(find).clone()
}

fn users((_, backend): &Present) -> usize {
    Arc::strong_count(backend)
}

fn find() -> Vec<Present> {
    let mut found: Vec<Found> = vec![("cpu", Ok(Arc::new(Cpu::default())))];
    found.extend(through_wgpu());
    found.push(("metal", bimetal::low_level::compute::metal::open().map_err(|error| error.to_string())));
    found.push(("emulator", emulated("emulator")));
    let findings: Vec<Finding> = found.iter().map(finding).collect();
    survey::record(&findings);
    let present: Vec<Present> =
        found.into_iter().filter_map(|(name, backend)| backend.ok().map(|backend| (name, backend))).collect();
    let matrix = present.iter().any(|(_, backend)| backend.caps().matrix_units.is_some());
    for required in std::env::var("REQUIRE").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        // Requirements other than backends are checked where they are used.
        let here = present.iter().any(|(name, _)| *name == required) || (required == "matrix" && matrix);
        let here = here || required == "xcode";
        assert!(here, "REQUIRE names {required}, which is absent; found:\n{}", survey::table(&findings));
    }
    present
}

fn finding((name, backend): &Found) -> Finding {
    let what = match backend {
        Ok(backend) => {
            let caps = backend.caps();
            let units = [
                (caps.subgroup.is_some(), "subgroups"),
                (caps.half, "f16"),
                (caps.matrix_units.is_some(), "matrix units"),
            ];
            let units: Vec<_> = units.into_iter().filter_map(|(has, what)| has.then_some(what)).collect();
            let with = if units.is_empty() { String::new() } else { format!(", with {}", units.join(", ")) };
            Ok(format!("{}{with}", caps.device))
        }
        Err(why) => Err(why.lines().last().unwrap_or_default().trim().trim_start_matches("metal: ").into()),
    };
    Finding { name: (*name).into(), what }
}

/// The Metal backend on an emulator that runs lanes and dispatches in opposite order; for tests of kernels.
pub fn opposite() -> Vec<Present> {
    static FOUND: OnceLock<Vec<Present>> = OnceLock::new();
    let found = || emulated("emulator-opposite").into_iter().map(|backend| ("emulator-opposite", backend)).collect();
    FOUND.get_or_init(found).clone()
}

#[cfg(all(unix, feature = "emulator"))]
fn emulated(name: &'static str) -> Result<Arc<dyn Backend>, String> {
    use bimetal::low_level::compute::metal::{
        Metal,
        emulator::{Emulator, Order},
    };

    let order = if name == "emulator" { Order::Alternating } else { Order::Opposite };
    let emulator = Emulator::new(order).map_err(|why| why.to_string())?;
    Ok(Arc::new(Metal::new(emulator)))
}

#[cfg(not(all(unix, feature = "emulator")))]
fn emulated(_name: &'static str) -> Result<Arc<dyn Backend>, String> {
    Err("needs --features emulator, and clang 16 or later".into())
}

#[cfg(feature = "wgpu")]
fn through_wgpu() -> Vec<Found> {
    use bimetal::low_level::compute::{
        caps::DeviceKind,
        wgpu::{Restrict, Wgpu},
    };

    // Prefer an adapter that is not software.
    let mut adapters = Wgpu::adapters();
    adapters.sort_by_key(|adapter| adapter.caps().kind == DeviceKind::Software);
    let open = |restrict| -> Result<Arc<dyn Backend>, String> {
        let adapter =
            adapters.first().ok_or("no Vulkan or Direct3D 12 device; mesa-vulkan-drivers brings one of software")?;
        Ok(Arc::new(Wgpu::open(adapter, restrict).expect("the adapter opens")))
    };
    vec![("wgpu", open(Restrict::default())), ("wgpu-plain", open(Restrict::webgpu()))]
}

#[cfg(not(feature = "wgpu"))]
fn through_wgpu() -> Vec<Found> {
    vec![("wgpu", Err("needs --features wgpu".into()))]
}
