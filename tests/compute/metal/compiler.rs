//! Apple's own compiler on every shader text of an engine, also those for matrix units, independent of this GPU.

use std::collections::{BTreeMap, BTreeSet};

use bimetal::{
    EngineOptions, Precision,
    low_level::{
        compute::{
            caps::{Caps, DequantizeFirst},
            dtype::DType,
            metal::prelude::shader,
        },
        engine::DryEngine,
        kernels::ALL,
        model::{config::Config, weights::Source},
    },
};

/// With `REQUIRE=xcode`, a missing compiler is a failure. It comes with Xcode, not with the command line tools.
#[cfg(target_os = "macos")]
#[test]
fn apples_compiler_takes_every_text() {
    use std::{fs, process::Command};

    let metal = |arguments: &[&str]| Command::new("xcrun").args(["-sdk", "macosx", "metal"]).args(arguments).output();
    if !metal(&["--version"]).is_ok_and(|output| output.status.success()) {
        let required = std::env::var("REQUIRE").unwrap_or_default().split(',').any(|name| name == "xcode");
        assert!(!required, "REQUIRE names xcode, whose Metal compiler is absent");
        println!("xcrun metal: absent, so nothing was compiled with it");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (at, (text, label)) in texts().into_iter().enumerate() {
        let [source, object] = ["metal", "air"].map(|ending| directory.path().join(format!("{at}.{ending}")));
        fs::write(&source, text).unwrap();
        let flags = ["-std=metal3.0", "-fno-fast-math", "-c", source.to_str().unwrap(), "-o", object.to_str().unwrap()];
        let output = metal(&flags).unwrap();
        assert!(output.status.success(), "{label}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn no_kernel_is_left_out() {
    let texts = texts();
    let found: BTreeSet<_> = texts.values().map(|label| label.split('[').next().unwrap()).collect();
    // An answer takes no snapshots of sessions.
    let all: BTreeSet<_> = ALL.iter().map(|kernel| kernel.name).filter(|name| *name != "copy_slot").collect();
    assert_eq!(found, all);
    assert!(texts.len() > all.len(), "{} texts", texts.len());
}

/// Every text of two short answers, each with a label: in both precisions, with and without matrix units, and with
/// quantized weights that are dequantized to f16 before products.
fn texts() -> BTreeMap<String, String> {
    let config = Config::named("0.8b").unwrap();
    let mut texts = BTreeMap::new();
    for (inputs, matrix_units, quant) in [
        (DType::F16, Some(8), None),
        (DType::F16, None, None),
        (DType::F32, None, None),
        (DType::F16, Some(8), Some(DType::Q4)),
    ] {
        let options = EngineOptions { context: Some(1024), sequences: 2, ..EngineOptions::default() };
        let mut caps = Caps { matrix_units, ..Caps::apple() };
        caps.tiles.dequantize_first = Some(DequantizeFirst::USUAL);
        let precision = Precision { activations: Some(inputs), weights: quant };
        let dry_engine = DryEngine::new(caps, &Source::Random(&config), precision, options).unwrap();
        let dispatches = dry_engine.answer().unwrap();
        texts.extend(dispatches.iter().map(|dispatch| (shader(dispatch).unwrap(), dispatch.label())));
    }
    texts
}
