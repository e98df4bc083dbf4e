//! The backends to test on this machine. `REQUIRE=cpu,wgpu` makes a missing backend a failure, so that a test cannot
//! pass without comparing anything. `matrix` requires matrix units.

use std::{
    io::{Write, stderr},
    sync::{Arc, OnceLock},
};

use bimetal::{Backend, low_level::compute::cpu::Cpu};

/// A backend and its name in tests.
pub type Present = (&'static str, Arc<dyn Backend>);

/// Every backend of this machine: `cpu`; `wgpu` with all features of its adapter; `wgpu-plain`, the same adapter with
/// only WebGPU's guarantees; `metal` on a Mac; and with the feature `emulator`, `emulator`: the Metal backend on it.
///
/// # Panics
/// If a backend that `REQUIRE` names is absent.
pub fn backends() -> Vec<Present> {
    static FOUND: OnceLock<Vec<Present>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Vec<Present> {
    let mut found: Vec<Present> = vec![("cpu", Arc::new(Cpu::default()))];
    found.extend(through_wgpu());
    found.extend(bimetal::low_level::compute::metal::open().ok().map(|metal| ("metal", metal)));
    found.extend(emulated("emulator"));
    for (name, backend) in &found {
        let caps = backend.caps();
        let [half, matrix] = [caps.half, caps.matrix_units.is_some()];
        let what = format!("subgroup {:?}, half {half}, matrix units {matrix}", caps.subgroup);
        say(&format!("{name}: {} ({}), {what}", caps.device, caps.driver));
    }
    if !found.iter().any(|(name, _)| *name == "wgpu") {
        say("wgpu: absent, so it was not compared");
    }
    let matrix = found.iter().any(|(_, backend)| backend.caps().matrix_units.is_some());
    for required in std::env::var("REQUIRE").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        // Requirements other than backends are checked where they are used.
        let here = found.iter().any(|(name, _)| *name == required) || (required == "matrix" && matrix);
        let here = here || required == "xcode";
        assert!(here, "REQUIRE names {required}, which is absent");
    }
    found
}

/// The Metal backend on an emulator that runs lanes and dispatches in opposite order; for tests of kernels.
pub fn opposite() -> Vec<Present> {
    static FOUND: OnceLock<Vec<Present>> = OnceLock::new();
    FOUND.get_or_init(|| emulated("emulator-opposite")).clone()
}

#[cfg(all(unix, feature = "emulator"))]
fn emulated(name: &'static str) -> Vec<Present> {
    use bimetal::low_level::compute::metal::{
        Metal,
        emulator::{Emulator, Order},
    };

    let order = if name == "emulator" { Order::Alternating } else { Order::Opposite };
    match Emulator::new(order) {
        Ok(emulator) => vec![(name, Arc::new(Metal::new(emulator)))],
        Err(why) => {
            say(&format!("{name}: absent: {why}"));
            Vec::new()
        }
    }
}

#[cfg(not(all(unix, feature = "emulator")))]
fn emulated(_name: &'static str) -> Vec<Present> {
    Vec::new()
}

/// Writes around the test harness, which hides the output of passing tests.
fn say(line: &str) {
    _ = writeln!(stderr(), "{line}");
}

#[cfg(feature = "wgpu")]
fn through_wgpu() -> Vec<Present> {
    use bimetal::low_level::compute::wgpu::{Restrict, Wgpu};

    // Prefer an adapter that is not software.
    let mut adapters = Wgpu::adapters();
    adapters.sort_by_key(|adapter| adapter.caps().kind == bimetal::low_level::compute::caps::DeviceKind::Software);
    let Some(adapter) = adapters.first() else { return Vec::new() };
    let open = |restrict| Arc::new(Wgpu::open(adapter, restrict).expect("the adapter opens"));
    vec![("wgpu", open(Restrict::default())), ("wgpu-plain", open(Restrict::webgpu()))]
}

#[cfg(not(feature = "wgpu"))]
fn through_wgpu() -> Vec<Present> {
    Vec::new()
}
