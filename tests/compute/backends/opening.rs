//! The choice of a backend, and its messages.

use bimetal::{
    BackendChoice, Error,
    low_level::compute::{caps::DeviceKind, devices},
};

#[test]
fn choices_have_names() {
    for choice in BackendChoice::ALL {
        assert_eq!(choice.to_string().parse::<BackendChoice>().unwrap(), choice);
    }
    assert_eq!("CPU".parse::<BackendChoice>().unwrap(), BackendChoice::Cpu);
    let error = "cuda".parse::<BackendChoice>().unwrap_err().to_string();
    assert!(error.contains("cuda") && error.contains("auto, cpu, wgpu, metal"), "{error}");
}

#[test]
fn opening_says_why() {
    let opened = devices::open(BackendChoice::Cpu, None).unwrap();
    assert_eq!((opened.backend.caps().backend, opened.skipped.len()), ("cpu", 0));
    let auto = devices::open(BackendChoice::Auto, None).unwrap();
    println!("auto: {} ({}), skipped {:?}", auto.backend.caps().device, auto.why, auto.skipped);
    assert_ne!(auto.backend.caps().kind, DeviceKind::Software);
    if cfg!(target_os = "macos") {
        assert!(auto.backend.caps().backend == "metal" || auto.skipped[0].0 == "metal", "{:?}", auto.skipped);
    } else {
        assert!(auto.skipped[0].0 == "metal" && auto.skipped[0].1.contains("macOS"), "{:?}", auto.skipped);
    }
    let taken: Vec<_> = devices::devices().into_iter().filter(|entry| entry.auto).collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].caps.device, auto.backend.caps().device);
    let refused = [
        (BackendChoice::Metal, Some("no such device")),
        (BackendChoice::Cpu, Some("0")),
        (BackendChoice::Wgpu, Some("no such device")),
    ];
    for (choice, device) in refused {
        let Err(Error::NoBackend { reasons }) = devices::open(choice, device) else { panic!("{choice} {device:?}") };
        println!("{choice} {device:?}: {reasons:?}");
        assert!(!reasons.is_empty());
    }
}
