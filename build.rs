//! Tells the crate whether the built-in model's weights are here: a clone has them, the package of the registry does not.

use std::path::Path;

const WEIGHTS: &str = "models/tiny-stories/model.safetensors";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(built_in_weights)");
    println!("cargo::rerun-if-changed=build.rs");
    // A file that is absent counts as changed, and the crate would be compiled anew by every build.
    if Path::new(WEIGHTS).exists() {
        println!("cargo::rerun-if-changed={WEIGHTS}");
        println!("cargo::rustc-cfg=built_in_weights");
    }
}
