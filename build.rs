//! Tells the crate whether the built-in model's weights are here: a clone has them, the package of the registry does not.

use std::path::Path;

const WEIGHTS: &str = "models/tiny-stories/model.safetensors";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={WEIGHTS}");
    println!("cargo::rustc-check-cfg=cfg(built_in_weights)");
    if Path::new(WEIGHTS).exists() {
        println!("cargo::rustc-cfg=built_in_weights");
    }
}
