//! A model with quantized weights: its contents, its loading, and equal results on every backend.

use std::sync::Arc;

use bimetal::{
    Backend, Checkpoint, Model,
    low_level::{
        compute::{
            caps::{Caps, DequantizeFirst},
            cpu::Cpu,
            dtype::{DType, Packs},
        },
        kernels::operands::step::Phase,
        model::{
            built_in,
            checkpoint::{Existing, quantize},
            qwen3_5::{Layer, Mixer, Mlp},
            weights::Source,
        },
    },
};

use crate::{
    harness::{FULL, HALF, Harness, Look, Output, Precision, largest_error, weights},
    support::{backends, fixtures},
};

const FORMATS: [DType; 2] = [DType::Q8, DType::Q4];

fn quantized(format: DType) -> Precision {
    Precision { quant: Some(format), ..FULL }
}

/// Logits of a prompt and of a decode step after it.
fn logits(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, precision: Precision) -> Vec<Vec<f32>> {
    let ids: Vec<u32> = (0..70).map(|i| (i * 97 + i * i % 13) % 96).collect();
    let mut harness = Harness::new(backend, checkpoint, precision, 96);
    let Output { mut logits, .. } = harness.run(Phase::Prefill, &ids, 0, Look::Logits);
    logits.extend(harness.run(Phase::Decode, &[3], 70, Look::Logits).logits);
    logits
}

/// Maximum distance of logits from the plain loops: packed rows have 16 bits. Rows of f16 are 5e-3 off.
pub fn bound(caps: &Caps) -> f32 {
    if caps.packed_dots { 4e-3 } else { 1e-3 }
}

#[test]
fn every_backend_makes_the_same_of_quantized_weights() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    for name in ["tiny-f32", "tiny-tied-text-f32"] {
        let checkpoint = fixtures::checkpoint(name);
        for format in FORMATS {
            let wanted = logits(&oracle, &checkpoint, quantized(format));
            for (backend_name, backend) in backends::backends() {
                let found = logits(&backend, &checkpoint, quantized(format));
                let error = largest_error(&found.concat(), &wanted.concat());
                println!("{name} in {format} on {backend_name}: {error:.1e}");
                assert!(error <= bound(backend.caps()), "{name} in {format} on {backend_name}: {error}");
            }
        }
    }
}

/// A step of many rows dequantizes weights to f16 before the product, a step of few rows inside it: the same bits.
#[test]
fn long_prompts_are_the_same_whole_and_in_parts() {
    let ids: Vec<u32> = (0..260).map(|i| (i * 97 + i * i % 13) % 96).collect();
    let (checkpoint, precision) =
        (fixtures::checkpoint("real-heads-bf16"), Precision { quant: Some(DType::Q4), ..HALF });
    for (name, backend) in backends::backends() {
        assert!((193..=260).contains(&DequantizeFirst::USUAL.rows));
        let harness = || {
            let mut harness = Harness::new(&backend, &checkpoint, precision, 288);
            harness.runner.caps.tiles.dequantize_first = Some(DequantizeFirst::USUAL);
            harness
        };
        let whole = harness().run(Phase::Prefill, &ids, 0, Look::Logits).logits;
        let mut harness = harness();
        let mut parts = harness.run(Phase::Prefill, &ids[..192], 0, Look::Logits).logits;
        parts.extend(harness.run(Phase::Prefill, &ids[192..], 192, Look::Logits).logits);
        assert!(whole == parts, "{name}");
    }
}

/// With packed dot products, the producing dispatches pack the rows, except normalized ones.
#[test]
fn rows_go_packed_from_dispatch_to_dispatch() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    let checkpoint = fixtures::checkpoint("real-heads-bf16");
    for (format, packs) in FORMATS.into_iter().zip([Packs::Bytes, Packs::Nibbles]) {
        let wanted = logits(&oracle, &checkpoint, quantized(format));
        for (name, backend) in backends::backends() {
            let mut harness = Harness::new(&backend, &checkpoint, quantized(format), 96);
            harness.runner.caps.packed_dots = name == "wgpu" && backend.caps().subgroup.is_some();
            let decode = |harness: &mut Harness, position| {
                let id = (position * 97 + position * position % 13) % 96;
                harness.run(Phase::Decode, &[id], position, Look::Logits)
            };
            let found: Vec<_> = (0..70).map(|position| decode(&mut harness, position)).collect();
            let rows = |kernel: &str| {
                let own = found[0].dispatches.iter().filter(|dispatch| dispatch.kernel.name == kernel);
                own.map(|dispatch| dispatch.elements.contains(&DType::Packed(packs))).collect::<Vec<_>>()
            };
            for kernel in ["gdn_decode", "attend_merge", "norm_swiglu", "matvec"] {
                let (packed, all) = (rows(kernel), harness.runner.caps.packed_dots);
                assert!(!packed.is_empty() && packed.iter().all(|packed| *packed == all), "{kernel} on {name}");
            }
            let found: Vec<_> = found.into_iter().flat_map(|output| output.logits).collect();
            let error = largest_error(&found.concat(), &wanted[..70].concat());
            println!("{format} on {name}: {error:.1e}");
            assert!(error <= bound(&harness.runner.caps), "{format} on {name}: {error}");
        }
    }
}

/// Root mean square of the differences, relative to the root mean square of the logits.
fn share(found: &[Vec<f32>], wanted: &[Vec<f32>]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
    let difference = square(&mut found.iter().flatten().zip(wanted.iter().flatten()).map(|(a, b)| a - b));
    (difference / square(&mut wanted.iter().flatten().copied())).sqrt()
}

#[test]
fn trained_weights_lose_little() {
    let (backend, checkpoint): (Arc<dyn Backend>, _) = (Arc::new(Cpu::default()), built_in::open().unwrap());
    let wanted = logits(&backend, &checkpoint, FULL);
    for (format, bounds) in FORMATS.into_iter().zip([1e-4..0.06, 0.01..0.6]) {
        let share = share(&logits(&backend, &checkpoint, quantized(format)), &wanted);
        println!("{format}: {share:.2e} of the logits");
        assert!(bounds.contains(&share), "{format}: {share}");
    }
}

#[test]
fn what_was_quantized_before_loads_as_the_same() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    for name in ["tiny-f32", "real-heads-bf16", "mixed-shards"] {
        for format in FORMATS {
            let (original, out) = (fixtures::checkpoint(name), tempfile::tempdir().unwrap());
            let mut last = (0, 1);
            quantize(&original, out.path(), Existing::Refuse, format, &mut |done, total| last = (done, total)).unwrap();
            assert_eq!(last.0, last.1, "{name}: all is done");
            let written = Checkpoint::open(out.path()).unwrap();
            written.check().unwrap();
            assert_eq!((written.quantized(), original.quantized()), (Some(format), None));
            let wanted = logits(&backend, &original, quantized(format));
            for precision in [FULL, quantized(format)] {
                assert!(logits(&backend, &written, precision) == wanted, "{name} in {format}: {precision:?}");
            }
            let other = if format == DType::Q8 { DType::Q4 } else { DType::Q8 };
            for again in [other, DType::F16] {
                let precision = bimetal::Precision { activations: Some(DType::F32), weights: Some(again) };
                let refused = Model::load(&backend, &Source::Checkpoint(&written), precision, &mut |_, _| {});
                assert!(refused.is_err(), "{name}: {format} became {again}");
            }
            assert!(
                quantize(&original, out.path(), Existing::Refuse, format, &mut |_, _| {}).is_err(),
                "{name}: overwritten"
            );
        }
    }
}

/// Type and rows of each part of a matrix.
fn parts(matrix: &bimetal::low_level::kernels::operands::matrix::Matrix) -> Vec<(DType, u32)> {
    matrix.parts().iter().map(|part| (part.tensor.dtype(), part.tensor.rows())).collect()
}

#[test]
fn gates_of_a_delta_net_stay_as_they_are() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let precision = bimetal::Precision { activations: Some(DType::F32), weights: Some(DType::Q4) };
    let model =
        Model::load(&backend, &Source::Checkpoint(&fixtures::checkpoint("real-heads-bf16")), precision, &mut |_, _| {})
            .unwrap();
    let Layer { mixer: Mixer::DeltaNet(delta_net), mlp: Mlp::Dense(mlp), .. } = &weights(&model).layers[0] else {
        panic!("a DeltaNet comes first")
    };
    assert_eq!(parts(&delta_net.qkvzba), [(DType::Q4, 512 + 256), (DType::Bf16, 2 + 2)]);
    let matrices = [&delta_net.out, &mlp.gate_up, &mlp.down, &*weights(&model).embed];
    assert!(matrices.iter().all(|matrix| parts(matrix).iter().all(|(dtype, _)| *dtype == DType::Q4)));
    // 4 bits per weight, one byte per 16 weights, and two per row.
    assert_eq!(mlp.gate_up.bytes(), 128 * (64 / 2 + 64 / 16 + 2));
}

#[test]
fn a_scale_that_is_no_number_is_found_while_loading() {
    let (backend, out): (Arc<dyn Backend>, _) = (Arc::new(Cpu::default()), tempfile::tempdir().unwrap());
    for format in FORMATS {
        let directory = out.path().join(format.to_string());
        quantize(&fixtures::checkpoint("real-heads-bf16"), &directory, Existing::Refuse, format, &mut |_, _| {})
            .unwrap();
        let file = directory.join("model.safetensors");
        let mut bytes = std::fs::read(&file).unwrap();
        let at = {
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let plane = if format == DType::Q8 { ".words" } else { ".units" };
            let scales = tensors.tensor(&format!("model.embed_tokens.weight{plane}")).unwrap();
            scales.data().as_ptr().addr() - bytes.as_ptr().addr() + 2
        };
        bytes[at..at + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
        std::fs::write(&file, bytes).unwrap();
        let written = Checkpoint::open(&directory).unwrap();
        let Err(refused) = Model::load(&backend, &Source::Checkpoint(&written), DType::F32, &mut |_, _| {}) else {
            panic!("{format}: taken")
        };
        assert!(refused.to_string().contains("expected finite scales, found NaN"), "{refused}");
    }
}
