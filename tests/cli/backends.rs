//! The choice of a backend, and missing backends and devices.

use serde_json::Value;

use crate::run::{run, threads};

#[cfg(not(target_os = "macos"))]
const NO_METAL: &str = "is for macOS on Apple Silicon; elsewhere wgpu takes the GPU";

fn devices() -> Vec<Value> {
    serde_json::from_str(&run(&["devices", "--json"]).succeeds().out).unwrap()
}

#[test]
fn devices_are_listed() {
    let list = devices();
    let cpu = list.last().unwrap();
    assert_eq!((&cpu["backend"], &cpu["index"], &cpu["kind"]), (&"cpu".into(), &Value::Null, &"cpu".into()));
    assert_eq!(cpu["device"], format!("{} threads", threads()));
    assert_eq!(list.iter().filter(|device| device["auto"] == true).count(), 1);
    // The host's cores have no limits but their memory.
    assert_eq!(
        (&cpu["max_binding"], &cpu["max_buffer"], &cpu["group_memory"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    for device in &list {
        assert!(device["max_binding"].as_u64().is_none_or(|bytes| bytes >= 128 << 20), "{device}");
        assert!(device["features"].is_array() && device["driver"].is_string(), "{device}");
    }
    let table = run(&["devices"]).succeeds();
    // Only the requested output: neither drivers nor the layers below them print anything.
    assert_eq!(table.err, "");
    let lines: Vec<_> = table.out.lines().collect();
    assert!(lines[0].trim_start().starts_with("#  backend  device"), "{}", lines[0]);
    let told = lines.join(" ");
    assert!(told.contains("* is what `--backend auto` takes."), "{told}");
    #[cfg(not(target_os = "macos"))]
    assert!(told.ends_with(&format!("The native Metal backend {NO_METAL}.")), "{told}");
    // Two tables, each with a line per device that has its backend.
    for device in &list {
        let backend = device["backend"].as_str().unwrap();
        let rows = lines.iter().filter(|line| line.split_whitespace().any(|word| word == backend));
        let taken = rows.filter(|line| line.starts_with('*') == (device["auto"] == true)).count();
        assert!(taken >= 2, "{backend}: {}", table.out);
    }
    assert!(lines.iter().any(|line| line.contains("  group memory  ")), "{}", table.out);
}

#[test]
fn auto_takes_what_devices_says() {
    let taken = devices().into_iter().find(|device| device["auto"] == true).unwrap();
    let said = run(&["generate", "Once", "-n", "1"]).succeeds().err;
    let want = format!("{}: {} (", taken["backend"].as_str().unwrap(), taken["device"].as_str().unwrap());
    assert!(said.starts_with(&want), "{said}");
    // A device that compiles shaders for long says so.
    let lines = said.lines().filter(|line| !line.starts_with("preparing the device: "));
    assert_eq!(lines.count(), 3, "{said}");
}

#[cfg(not(target_os = "macos"))]
#[test]
fn no_metal() {
    run(&["generate", "Once", "--backend", "metal"]).refuses(&format!("no usable backend:\n  metal: it {NO_METAL}"));
}

#[test]
fn no_such_backend() {
    run(&["generate", "Once", "--backend", "cuda"]).misunderstands(
        "invalid value 'cuda' for '--backend <BACKEND>': no backend is called \"cuda\": choose one of auto, cpu, wgpu, \
         metal",
    );
}

#[test]
fn the_cpu_has_no_devices() {
    run(&["generate", "Once", "--backend", "cpu", "--device", "0"])
        .refuses("no usable backend:\n  cpu: it has no devices to choose from; leave the device out");
}

#[cfg(feature = "wgpu")]
#[test]
fn no_such_device() {
    let there = devices().into_iter().filter(|device| device["backend"] == "wgpu");
    let mut reasons: String = there
        .map(|device| format!("\n  device {}: {}, which \"no such\" does not name", device["index"], text(&device)))
        .collect();
    if reasons.is_empty() {
        reasons = "\n  wgpu: no driver offers a device, let alone \"no such\"".into();
    }
    for backend in ["auto", "wgpu"] {
        run(&["generate", "Once", "--backend", backend, "--device", "no such"])
            .refuses(&format!("no usable backend:{reasons}"));
    }
}

#[cfg(feature = "wgpu")]
fn text(device: &Value) -> &str {
    device["device"].as_str().unwrap()
}

#[cfg(all(feature = "wgpu", target_os = "linux"))]
#[test]
fn no_drivers() {
    use crate::run::{command, finish};

    let nowhere = "/no/such/driver.json";
    let without_drivers = |arguments: &[&str]| {
        finish(command(arguments).env("VK_DRIVER_FILES", nowhere).env("VK_ICD_FILENAMES", nowhere))
    };
    without_drivers(&["generate", "Once", "--backend", "wgpu"])
        .refuses("no usable backend:\n  wgpu: no driver offers a device");
    without_drivers(&["generate", "Once", "--device", "gpu"])
        .refuses("no usable backend:\n  wgpu: no driver offers a device, let alone \"gpu\"");
    let story = without_drivers(&["generate", "Once", "-n", "1"]).succeeds();
    let want = format!("cpu: {} threads (plain loops), no GPU was usable\n", threads());
    assert!(story.err.starts_with(&want), "{}", story.err);
    let list: Vec<Value> = serde_json::from_str(&without_drivers(&["devices", "--json"]).succeeds().out).unwrap();
    assert_eq!((list.len(), &list[0]["auto"]), (1, &true.into()));
}

#[cfg(feature = "wgpu")]
#[test]
fn software_is_not_taken_unasked() {
    let list = devices();
    let gpus = list.iter().filter(|device| device["backend"] == "wgpu");
    if gpus.clone().count() == 0 || gpus.clone().any(|device| device["kind"] != "software") {
        println!("no machine to show it on: it takes software drivers and nothing else");
        return;
    }
    let reasons = gpus.map(|device| {
        let word = text(device).split_whitespace().next().unwrap().to_lowercase();
        let why = "a software driver, slower than the cpu backend;";
        format!("\n  {}: {why} --backend wgpu --device {word} takes it", text(device))
    });
    run(&["generate", "Once", "--backend", "wgpu"])
        .refuses(&format!("no usable backend:{}", reasons.collect::<String>()));
}

#[cfg(not(feature = "wgpu"))]
#[test]
fn a_build_without_wgpu() {
    run(&["generate", "Once", "--backend", "wgpu"])
        .refuses("no usable backend:\n  wgpu: this build is without it; build with --features wgpu");
}
