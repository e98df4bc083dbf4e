//! Logits at every position, residual streams, caches and decode steps against the fixtures.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bimetal::{Backend, Checkpoint, low_level::kernels::operands::step::Phase};

use crate::{
    harness::{FULL, HALF, Harness, Look, Precision, Reference, largest_error},
    support::{backends, fixtures::fixture},
};

/// Maximum error in f32, of any tensor.
pub const BOUND: f32 = 1e-3;

fn fixtures() -> Vec<PathBuf> {
    let own = std::fs::read_dir(fixture("")).unwrap();
    let mut found: Vec<_> = own.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.extend(std::env::var("FIXTURES").unwrap_or_default().split(':').filter(|s| !s.is_empty()).map(PathBuf::from));
    found.retain(|path| path.join("reference.json").is_file());
    found.sort();
    assert!(found.len() >= 6, "the fixtures are gone: {found:?}");
    found
}

pub fn references(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let reference = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("reference") && name.ends_with(".safetensors")
    };
    let mut found: Vec<_> = files.filter(reference).collect();
    found.sort();
    assert!(!found.is_empty(), "{}: no reference", dir.display());
    found
}

/// The maximum error of each tensor of one reference.
pub fn errors(backend: &Arc<dyn Backend>, dir: &Path, file: &Path, precision: Precision) -> Vec<(String, f32)> {
    let (checkpoint, reference) = (Checkpoint::open(dir).unwrap(), Reference::open(file));
    checkpoint.check().unwrap();
    let ids = &reference.ids["input_ids"];
    let (tokens, greedy) = (ids.len() as u32, &reference.ids["greedy_ids"]);
    let mut harness = Harness::new(backend, &checkpoint, precision, tokens + greedy.len() as u32);
    let output = harness.run(Phase::Prefill, ids, 0, Look::Layers);
    let mut errors = vec![("prefill_logits".to_string(), output.logits.concat())];
    errors.extend(output.marks);
    for layer in 0..harness.runner.cache().layers.len() {
        let named = harness.layer(layer, tokens).into_iter();
        errors.extend(named.map(|(name, values)| (format!("cache.{layer}.{name}"), values)));
    }
    let decoded = (tokens..)
        .zip(greedy)
        .map(|(position, id)| harness.run(Phase::Decode, &[*id], position, Look::Logits).logits.concat());
    errors.push(("decode_logits".to_string(), decoded.collect::<Vec<_>>().concat()));
    let known = errors.iter().filter(|(name, _)| reference.floats.contains_key(name));
    let errors: Vec<_> = known.map(|(name, got)| (name.clone(), largest_error(got, &reference.floats[name]))).collect();
    // References from elsewhere may also have tensors inside a layer, which this engine fuses away.
    let (inside, wanted): (Vec<_>, Vec<_>) = reference.floats.keys().partition(|name| name.starts_with("trace."));
    let missing = wanted.iter().find(|name| errors.iter().all(|(known, _)| known != **name));
    assert_eq!(missing, None, "{}: a tensor was not compared", file.display());
    if !inside.is_empty() {
        println!("{}: {} tensors inside layers are not compared", file.display(), inside.len());
    }
    errors
}

#[test]
fn full_precision_equals_the_reference() {
    for (name, backend) in backends::backends() {
        for dir in fixtures() {
            for file in references(&dir) {
                let label =
                    format!("{name}: {}", file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&file).display());
                let errors = errors(&backend, &dir, &file, FULL);
                let listed: Vec<_> = errors.iter().map(|(name, error)| format!("{name} {error:.1e}")).collect();
                println!("{label}: {}", listed.join(", "));
                let over: Vec<_> = errors.iter().filter(|(_, error)| *error > BOUND).collect();
                assert!(over.is_empty(), "{label}: over {BOUND}: {over:?}");
            }
        }
    }
}

/// With f16 keys, values and product inputs, logits are as close to the f32 reference as the reference's own bf16 run.
#[test]
fn half_precision_is_as_close_as_a_bf16_reference() {
    for (name, backend) in backends::backends() {
        for dir in fixtures() {
            let noise: serde_json::Value =
                serde_json::from_slice(&std::fs::read(dir.join("reference.json")).unwrap()).unwrap();
            for file in references(&dir) {
                let key = file.file_name().unwrap().to_string_lossy().into_owned();
                let Some(measured) = noise["references"][&key]["bfloat16_minus_float32"].as_object() else {
                    println!("{name}: {}: no bf16 run to compare half precision with", file.display());
                    continue;
                };
                let errors = errors(&backend, &dir, &file, HALF);
                for (tensor, phase) in [("prefill_logits", "prefill"), ("decode_logits", "decode")] {
                    let bound = measured[phase]["max"].as_f64().unwrap() as f32;
                    let (_, error) = errors.iter().find(|(name, _)| name == tensor).unwrap();
                    println!("{name}: {}: {tensor} {error:.1e}, bf16 {bound:.1e}", file.display());
                    assert!(*error <= bound, "{name}: {}: {tensor}: {error} over {bound}", file.display());
                }
            }
        }
    }
}
