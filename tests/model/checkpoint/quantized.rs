//! Checkpoints with quantized weights: their metadata is checked against the tensors.

use std::fs;

use bimetal::{
    Checkpoint,
    low_level::{
        compute::dtype::DType,
        model::checkpoint::{Existing, Part, quantize},
    },
};
use half::f16;
use serde_json::{Value, json};

use crate::support::{
    fixtures::checkpoint,
    scratch::{Scratch, WEIGHTS, append, parts, remove},
};

const UP: &str = "model.layers.0.mlp.up_proj.weight";

/// The small tied text model, quantized.
fn quantized(format: DType) -> Scratch {
    let (scratch, original) = (Scratch::empty(), checkpoint("tiny-tied-text-f32"));
    quantize(&original, &scratch.0, Existing::Replace, format, &mut |_, _| {}).unwrap();
    scratch
}

#[test]
fn it_is_whole_and_smaller() {
    let original = checkpoint("tiny-tied-text-f32").summary();
    for (format, bits) in [(DType::Q8, 8.5..=8.5), (DType::Q4, 4.6..=4.75)] {
        let scratch = quantized(format);
        let checkpoint = Checkpoint::open(&scratch.0).unwrap();
        checkpoint.check().unwrap();
        let view = checkpoint.tensor("layers.0.mlp.up_proj.weight").unwrap();
        assert_eq!((view.name, view.dtype, view.shape), (UP, format, &[160, 64][..]));
        view.require_finite().unwrap();
        assert_eq!(checkpoint.tensor("layers.0.linear_attn.in_proj_a.weight").unwrap().dtype, DType::F32);
        let summary = checkpoint.summary();
        assert_eq!(summary.parameters, original.parameters, "{format}");
        assert_eq!(summary.skipped, original.skipped);
        let [all, left] = [&original, &summary].map(|summary| summary.bytes[&DType::F32] / 4);
        // A unit for each row that is shorter than 256.
        let found = summary.bytes[&format] as f64 * 8.0 / (all - left) as f64;
        assert!(bits.contains(&found), "{format}: {found}");
        assert!(summary.parameters[&Part::Mlp] > 0);
        let files: Vec<_> = fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files.len(), 2, "{files:?}");
    }
}

#[test]
fn other_formats_and_versions_are_refused() {
    for (format, version, wanted) in [
        (
            "q4",
            "2",
            "DIR/model.safetensors: quantized weights of version 2 is not supported: this build reads them up to version 1; \
             a newer bimetal reads these",
        ),
        ("q9", "7", "quantized weights of version 7 is not supported"),
        ("q5", "1", "its weights are quantized as \"q5\" of version \"1\", expected q8 or q4 of version 1 to 1"),
        ("q4", "0", "its weights are quantized as \"q4\" of version \"0\""),
        ("q4", "new", "its weights are quantized as \"q4\" of version \"new\""),
        ("q4", "", "its weights are quantized as \"q4\" of version \"\""),
    ] {
        let scratch = quantized(DType::Q4);
        scratch.edit_weights(|header, _| {
            header["__metadata__"] = json!({ "bimetal.format": format, "bimetal.version": version });
        });
        assert!(scratch.error().contains(wanted), "{format} {version}: {}", scratch.error());
    }
    let scratch = quantized(DType::Q4);
    scratch.edit_weights(|header, _| drop(header.shift_remove("__metadata__")));
    assert!(scratch.error().contains("expected f32, f16 or bf16, found U8"), "{}", scratch.error());
    let scratch = quantized(DType::Q4);
    scratch.edit_weights(|header, _| header["__metadata__"]["bimetal.format"] = json!("q8"));
    assert!(scratch.error().contains("a plane of q8, found U8 ["), "{}", scratch.error());
}

#[test]
fn planes_that_are_cut_or_missing_are_told() {
    for plane in [".words", ".units"] {
        let name = format!("{UP}{plane}");
        let scratch = quantized(DType::Q4);
        scratch.edit_weights(|header, data| remove(header, data, &name));
        let wanted =
            format!("DIR: tensor {name}: expected bytes [160, {}], a plane of q4, found nothing", plane_width(plane));
        assert_eq!(scratch.error(), wanted);
        let scratch = quantized(DType::Q4);
        scratch.edit_weights(|header, data| {
            remove(header, data, &name);
            append(header, data, &name, &[160, 4]);
        });
        assert!(scratch.error().ends_with("found F32 [160, 4]"), "{}", scratch.error());
    }
    let scratch = quantized(DType::Q8);
    let whole = scratch.read(WEIGHTS);
    let start = whole.len() - parts(&whole).1.len();
    for length in [7, start - 1, start, start + 1000, whole.len() - 1] {
        scratch.write(WEIGHTS, &whole[..length]);
        assert!(scratch.error().contains("cut off") || length == 7, "{length}: {}", scratch.error());
    }
    let scratch = quantized(DType::Q8);
    scratch.edit_weights(|header, data| append(header, data, "model.norm.weight.words.words", &[2, 4]));
    assert!(!scratch.error().is_empty());
}

fn plane_width(plane: &str) -> usize {
    if plane == ".words" { 4 } else { 2 }
}

#[test]
fn scales_that_are_no_numbers_are_told_with_their_place() {
    for (format, plane, scales) in [(DType::Q8, ".words", 2), (DType::Q4, ".units", 1)] {
        for value in [f16::NAN, f16::NEG_INFINITY] {
            let scratch = quantized(format);
            scratch.edit_weights(|header, data| {
                let Value::Array(offsets) = &header[&format!("{UP}{plane}")]["data_offsets"] else { panic!("offsets") };
                let at = offsets[0].as_u64().unwrap() as usize + 2 * (3 * scales + scales - 1);
                data[at..at + 2].copy_from_slice(&value.to_le_bytes());
            });
            let checkpoint = Checkpoint::open(&scratch.0).unwrap();
            checkpoint.check().unwrap();
            let view = checkpoint.tensor("layers.0.mlp.up_proj.weight").unwrap();
            let column = (scales - 1) * 32;
            let wanted = format!(
                "DIR/model.safetensors: tensor {UP}: expected finite scales, found {value} at row 3, column {column}"
            );
            assert_eq!(scratch.plain(&view.require_finite().unwrap_err()), wanted);
        }
    }
}
