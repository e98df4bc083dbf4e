//! GGUF files compute like their originals: logits against the fixtures, and quantized weights against the same weights
//! in f32.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bimetal::{
    Backend, Checkpoint,
    low_level::{
        compute::{
            dtype::{DType, Planes},
            formats::{Blocks, Row, split},
        },
        kernels::operands::step::Phase,
        model::checkpoint::{TensorView, expected},
    },
};
use serde_json::{Map, Value, json};

use crate::{
    container::{Gguf, grouped, placed},
    golden::{BOUND, errors, references},
    harness::{self, FULL, HALF, Harness, Look, Precision, largest_error},
    support::{
        backends,
        fixtures::{checkpoint, fixture},
    },
};

fn require_golden(gguf: &Path, fixture: &Path, is_compared: fn(&str) -> bool) {
    for (name, backend) in backends::backends() {
        for file in references(fixture) {
            let errors = errors(&backend, gguf, &file, FULL);
            let compared: Vec<_> = errors.iter().filter(|(tensor, _)| is_compared(tensor)).collect();
            assert!(compared.len() >= 3, "{}: {errors:?}", file.display());
            let worst = compared.iter().map(|(_, error)| *error).fold(0.0, f32::max);
            println!("{name}: {} of {} tensors, {worst:.1e}", file.display(), compared.len());
            let over: Vec<_> = compared.iter().filter(|(_, error)| *error > BOUND).collect();
            assert!(over.is_empty(), "{name}: {}: over {BOUND}: {over:?}", file.display());
        }
    }
}

/// A file written by the format's own package.
#[test]
fn a_file_of_halves_equals_the_reference() {
    require_golden(&fixture("gguf/fast-decay-f16.gguf"), &fixture("fast-decay-f16"), |_| true);
}

/// f32, bf16 and all types mixed; tiled value heads with one and with two key heads, and value heads that are not
/// tiled. Their states have another order.
#[test]
fn converted_fixtures_equal_their_references() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["tiny-f32", "real-heads-bf16", "mixed-shards"] {
        let file = scratch.path().join(format!("{name}.gguf"));
        fs::write(&file, Gguf::of(&checkpoint(name)).bytes()).unwrap();
        require_golden(&file, &fixture(name), |tensor| !tensor.starts_with("cache."));
    }
}

/// The weights of a tensor of any stored type.
fn weights(view: &TensorView<'_>) -> Vec<f32> {
    match view.dtype {
        DType::F32 => view.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        DType::F16 => view.data.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect(),
        DType::Bf16 => view.data.as_chunks().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect(),
        dtype => {
            let rows = view.data.chunks(Blocks::of(dtype).row(view.columns()));
            let row = |row| {
                let mut planes = Planes::of(dtype, [1, view.columns() as u32]).row.map(|bytes| vec![0; bytes]);
                split(dtype, row, planes.each_mut().map(Vec::as_mut_slice));
                Row { dtype, planes: planes.each_ref().map(Vec::as_slice) }.to_vec()
            };
            rows.flat_map(row).collect()
        }
    }
}

/// A checkpoint's weights in f32 with grouped value heads, as a safetensors directory.
fn dequantized(checkpoint: &Checkpoint, directory: &Path) -> Checkpoint {
    let (mut header, mut data) = (Map::new(), Vec::new());
    let config = checkpoint.config();
    for tensor in expected(config) {
        let weights = weights(&checkpoint.tensor(&tensor.name).unwrap());
        let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        let (start, name) = (data.len(), format!("model.{}", tensor.name));
        data.extend(placed(config, &tensor.name, (&bytes, 4), grouped));
        header.insert(name, json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [start, data.len()] }));
    }
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    fs::write(directory.join("model.safetensors"), file).unwrap();
    let json = json!({
        "model_type": "qwen3_5_text", "hidden_size": 256, "intermediate_size": 32, "num_hidden_layers": 2,
        "layer_types": ["linear_attention", "full_attention"], "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
        "linear_value_head_dim": 64, "linear_conv_kernel_dim": 4, "vocab_size": 288, "rms_norm_eps": 1e-6,
        "rope_parameters": { "rope_theta": 1e7, "partial_rotary_factor": 0.5 }, "tie_word_embeddings": true,
        "max_position_embeddings": 512,
    });
    fs::write(directory.join("config.json"), json.to_string()).unwrap();
    Checkpoint::open(directory).unwrap()
}

fn logits(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, precision: Precision) -> Vec<f32> {
    checkpoint.check().unwrap();
    let ids: Vec<u32> = (0..150).map(|i| (i * 97 + i * i % 13) % 288).collect();
    let mut harness = Harness::new(backend, checkpoint, precision, 160);
    let mut logits = harness.run(Phase::Prefill, &ids, 0, Look::Logits).logits;
    logits.extend((0..3).flat_map(|i| harness.run(Phase::Decode, &[3 + i], 150 + i, Look::Logits).logits));
    logits.concat()
}

/// Every quantized type, with tiled heads; f16 rounds the same weights at the same place.
#[test]
fn quantized_weights_are_what_they_stand_for() {
    let scratch = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint("gguf/mixed.gguf");
    let plain = dequantized(&checkpoint, scratch.path());
    let types: BTreeMap<_, _> = checkpoint.summary().bytes;
    assert_eq!(types.len(), 8, "{types:?}");
    assert_eq!(checkpoint.config().parameters(), plain.summary().total_parameters());
    for (name, backend) in backends::backends() {
        // On devices with packed dot products, rows have 16 bits when they multiply quantized weights.
        let full = if backend.caps().packed_dots { 4e-3 } else { 1e-4 };
        for (precision, bound) in [(FULL, full), (HALF, 2e-2)] {
            let (found, wanted) = (logits(&backend, &checkpoint, precision), logits(&backend, &plain, precision));
            let size = wanted.iter().fold(0.0_f32, |max, logit| max.max(logit.abs()));
            let error = largest_error(&found, &wanted);
            println!("{name}: logits up to {size:.1} differ by {error:.1e} with {precision:?}");
            assert!(size > 1.0 && error <= bound, "{name}: {error} of {size} with {precision:?}");
        }
    }
}

/// Quantized weights cannot be quantized again; floats can.
#[test]
fn quantizing_a_file() {
    let backend: Arc<dyn Backend> = Arc::new(bimetal::low_level::compute::cpu::Cpu::default());
    let q8 = bimetal::Precision { activations: Some(DType::F32), weights: Some(DType::Q8) };
    let load = |name: &str| {
        let checkpoint = checkpoint(name);
        let source = bimetal::low_level::model::weights::Source::Checkpoint(&checkpoint);
        bimetal::Model::load(&backend, &source, q8, &mut |_, _| {})
            .map(|model| harness::weights(&model).embed.parts()[0].tensor.dtype())
    };
    assert_eq!(load("gguf/fast-decay-f16.gguf").unwrap(), DType::Q8);
    let refused = load("gguf/mixed.gguf").unwrap_err().to_string();
    assert!(refused.contains("mixed.gguf: its weights are q") && refused.contains("needs the original"), "{refused}");
}
