//! GGUF files: their contents, and the errors of files with false statements.

use std::{collections::BTreeMap, fs};

use bimetal::{
    Checkpoint,
    low_level::{
        compute::dtype::DType,
        model::{
            checkpoint::Skipped,
            config::{LayerKind, ValueOrder},
        },
    },
};

use crate::{
    container::{ARRAY, F32, Gguf, STRING, U32, list, number, text, value},
    support::fixtures::{checkpoint, fixture},
};

mod keys_of_text;
mod producers;

/// A small complete model.
fn whole() -> Gguf {
    Gguf::of(&checkpoint("tiny-f32"))
}

/// The error of opening and checking a file.
fn error(bytes: Vec<u8>) -> String {
    let opened = Checkpoint::embedded_gguf(bytes).and_then(|checkpoint| checkpoint.check());
    let error = opened.unwrap_err().to_string();
    error.strip_prefix("embedded.gguf: ").unwrap_or_else(|| panic!("{error}")).to_owned()
}

fn edited(edit: impl FnOnce(&mut Gguf)) -> String {
    let mut file = whole();
    edit(&mut file);
    error(file.bytes())
}

#[test]
fn what_is_read() {
    let checkpoint = checkpoint("gguf/mixed.gguf");
    checkpoint.check().unwrap();
    let config = checkpoint.config();
    assert_eq!(config.layers, [LayerKind::Linear, LayerKind::Full]);
    assert_eq!((config.hidden, config.vocabulary, config.tied, config.eos.clone()), (256, 288, true, vec![282]));
    assert_eq!((config.value_head_dim, config.rotary_dim, config.value_order), (64, 8, ValueOrder::Tiled));
    let summary = checkpoint.summary();
    assert_eq!(summary.skipped, BTreeMap::from([(Skipped::Mtp, (3, 8 * 220 + 256 + 1024))]));
    assert_eq!(summary.bytes[&DType::Q4_0], (32 * 256 + 256 * 32) / 32 * 18);
    assert_eq!(summary.files.len(), 1);
    assert_eq!((checkpoint.quantized(), checkpoint.is_gguf()), (Some(DType::Q5K), true));
    let view = checkpoint.tensor("layers.0.linear_attn.conv1d.weight").unwrap();
    assert_eq!((view.name, view.shape), ("blk.0.ssm_conv1d.weight", &[288, 1, 4][..]));
}

/// Norm weights without their added one, and the logarithm of decays. Bit for bit, except the last digit of the latter.
#[test]
fn conventions_are_undone() {
    for name in ["tiny-f32", "tiny-tied-text-f32"] {
        let original = checkpoint(name);
        let file = Checkpoint::embedded_gguf(Gguf::of(&original).bytes()).unwrap();
        let f32s = |checkpoint: &Checkpoint, name: &str| -> Vec<f32> {
            let data = checkpoint.tensor(name).unwrap().data;
            data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        for name in ["norm.weight", "layers.0.post_attention_layernorm.weight", "layers.3.self_attn.k_norm.weight"] {
            let (found, wanted) = (f32s(&file, name), f32s(&original, name));
            assert!(found.iter().zip(&wanted).all(|(a, b)| 1.0 + a == 1.0 + b), "{name}");
        }
        assert_eq!(
            f32s(&file, "layers.0.linear_attn.norm.weight"),
            f32s(&original, "layers.0.linear_attn.norm.weight")
        );
        let name = "layers.1.linear_attn.A_log";
        let sorted = |checkpoint| {
            let mut values = f32s(checkpoint, name);
            values.sort_by(f32::total_cmp);
            values
        };
        assert!(sorted(&file).iter().zip(sorted(&original)).all(|(a, b)| (a - b).abs() < 1e-6), "{name}");
    }
}

#[test]
fn other_files() {
    let supported = "is not supported: this engine runs dense Qwen3.5 text models (qwen35)";
    for architecture in ["qwen35moe", "llama", "clip"] {
        let found = edited(|file| file.key("general.architecture", text(architecture)));
        assert_eq!(found, format!("a GGUF file of architecture {architecture:?} {supported}"));
    }
    let found = edited(|file| file.key("general.type", text("adapter")));
    assert!(found.starts_with("a GGUF file of type \"adapter\""), "{found}");
    let found = edited(|file| file.key("qwen35.rope.scaling.type", text("yarn")));
    assert!(found.starts_with("key qwen35.rope.scaling.type: \"yarn\" is not supported"), "{found}");
    let expected = "expected a little-endian file of version 2 or 3";
    assert_eq!(edited(|file| file.version = 1), format!("a GGUF file of version 1, {expected}"));
    assert_eq!(edited(|file| file.version = 4), format!("a GGUF file of version 4, {expected}"));
    assert_eq!(edited(|file| file.version = 3_u32.swap_bytes()), format!("a big-endian GGUF file, {expected}"));
    assert_eq!(error(b"PK\x03\x04.....".to_vec()), "it begins with \"PK\\x03\\x04\", expected \"GGUF\"");
    assert_eq!(error(b"GG".to_vec()), "1 values of 4 bytes are claimed at byte 0, but only 2 bytes are left");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n".to_vec();
    assert_eq!(error(pointer), "a Git LFS pointer stands in for the file: fetch it with `git lfs pull`");
    let mut second = whole();
    second.version = 2;
    Checkpoint::embedded_gguf(second.bytes()).unwrap().check().unwrap();
}

/// False counts and lengths, in every place that has one.
#[test]
fn claims() {
    let bytes = whole().bytes();
    let with = |at: usize, number: u64| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        error(bytes)
    };
    let found = with(8, u64::MAX);
    assert!(found.starts_with("tensor number 110 of 18446744073709551615: "), "{found}");
    assert!(with(16, u64::MAX).starts_with("key number 20 of"), "{}", with(16, u64::MAX));
    let (claimed, left) = (u64::MAX, bytes.len() - 32);
    assert_eq!(
        with(24, claimed),
        format!("key number 1 of 18: {claimed} bytes are claimed at byte 32, but only {left} bytes are left")
    );
    let many = |kind: u32, count: u64| value(ARRAY, &[&kind.to_le_bytes()[..], &count.to_le_bytes()].concat());
    for (kind, count, part) in [
        (U32, 1 << 62, "4611686018427387904 values of 4 bytes are claimed at byte"),
        (12, u64::MAX, "18446744073709551615 values of 8 bytes are claimed at byte"),
        (STRING, u64::MAX, "bytes are claimed at byte"),
        (ARRAY, u64::MAX, "a value of type"),
        (77, 1, "a value of type 77, expected 0 to 12"),
    ] {
        let found = edited(|file| file.keys.insert(0, ("odd".into(), many(kind, count))));
        assert!(found.starts_with("key odd: ") && found.contains(part), "{found}");
    }
    let mut nested = number(1)[..4].to_vec();
    nested.extend(0_u64.to_le_bytes());
    let deep = |depth: usize| {
        let one = [&ARRAY.to_le_bytes()[..], &1_u64.to_le_bytes()].concat();
        value(ARRAY, &[one.repeat(depth), nested.clone()].concat())
    };
    let mut good = whole();
    good.keys.insert(0, ("deep".into(), deep(4)));
    Checkpoint::embedded_gguf(good.bytes()).unwrap();
    let found = edited(|file| file.keys.insert(0, ("deep".into(), deep(5))));
    assert_eq!(found, "key deep: lists in lists, more than 4 deep");
    let found = edited(|file| file.keys.push(("truth".into(), value(7, &[2]))));
    assert_eq!(found, "key truth: a truth value of 2, expected 0 or 1");
    let found = edited(|file| {
        file.keys.push(("words".into(), value(STRING, &[&2_u64.to_le_bytes()[..], b"\xff\xfe"].concat())))
    });
    assert!(found.starts_with("key words: the string at byte ") && found.ends_with("is not UTF-8"), "{found}");
    let found = edited(|file| file.keys.push(("qwen35.block_count".into(), number(8))));
    assert_eq!(found, "key qwen35.block_count is there twice");
}

#[test]
fn tensors_that_lie() {
    const NORM: &str = "output_norm.weight";
    let found = edited(|file| file.tensors.push(file.tensors[0].clone()));
    assert_eq!(found, "tensor number 110 of 110: token_embd.weight is there twice".replace("number 110 of 110: ", ""));
    let found = edited(|file| file.tensor(NORM).2 = 5);
    assert!(found.ends_with("output_norm.weight has type 5, which this build does not know"), "{found}");
    let found = edited(|file| file.tensor(NORM).1 = vec![1 << 33, 1 << 31]);
    assert!(found.ends_with("which is no possible shape: rows are whole blocks of 1"), "{found}");
    let found = edited(|file| file.tensor(NORM).1 = vec![0]);
    assert!(found.contains("output_norm.weight is F32 [0], which is no possible shape"), "{found}");
    for dimensions in [vec![], vec![1; 5]] {
        let found = edited(|file| file.tensor(NORM).1 = dimensions.clone());
        assert!(found.ends_with(&format!("has {} dimensions, expected 1 to 4", dimensions.len())), "{found}");
    }
    let found = edited(|file| file.tensor("blk.0.ffn_up.weight").2 = 12);
    assert!(
        found.contains(
            "blk.0.ffn_up.weight is Q4_K [160, 64], which is no possible shape: rows are whole blocks of 256"
        ),
        "{found}"
    );
    let found = edited(|file| file.tensor("token_embd.weight").3.truncate(1000));
    assert!(found.contains("overlaps the one before: it begins at byte 1024 of the data, expected 131072"), "{found}");
    let found = edited(|file| file.tensor("token_embd.weight").3.extend([0; 64]));
    assert!(found.contains("leaves a gap: it begins at byte 131136 of the data, expected 131072"), "{found}");
    let mut bytes = whole().bytes();
    bytes.truncate(bytes.len() - 1);
    assert!(error(bytes).ends_with("but only 131071 are there: the file is cut off, fetch it again"));
    let mut other = whole();
    other.alignment = 64;
    assert!(error(other.bytes()).contains("leaves a gap"));
    other.key("general.alignment", number(64));
    Checkpoint::embedded_gguf(other.bytes()).unwrap().check().unwrap();
    for odd in [0, 4, 48, 1 << 20] {
        let found = edited(|file| file.key("general.alignment", number(odd)));
        assert_eq!(found, format!("key general.alignment: expected a power of two from 8 to 65536, found {odd}"));
    }
}

/// Contradictions between keys, and between keys and tensors.
#[test]
fn settings() {
    let keys: Vec<String> = whole().keys.into_iter().map(|(key, _)| key).collect();
    let optional = ["qwen35.attention.value_length", "qwen35.full_attention_interval"];
    for key in keys.iter().filter(|key| !optional.contains(&key.as_str())) {
        assert_eq!(edited(|file| file.keys.retain(|(known, _)| known != key)), format!("key {key} is missing"));
        let found = edited(|file| file.key(key, list(U32, &[vec![0; 4]])));
        assert!(found.starts_with(&format!("key {key}: expected ")) && found.contains("a list of 1 values"), "{found}");
    }
    for (key, odd, wanted) in [
        ("embedding_length", number(0), "expected a whole number from 1 to 65536, found 0"),
        ("embedding_length", number(66), "expected a multiple of 4, found 66"),
        ("attention.head_count", number(3), "expected a multiple of num_key_value_heads (2), found 3"),
        ("attention.key_length", number(48), "expected a power of two from 16 to 512, found 48"),
        ("attention.value_length", number(16), "expected 32, as key_length, found 16"),
        ("ssm.conv_kernel", number(3), "expected 4, found 3"),
        ("ssm.inner_size", number(65), "expected a multiple of qwen35.ssm.time_step_rank (4), found 65"),
        ("ssm.time_step_rank", number(0), "expected a multiple of qwen35.ssm.time_step_rank (0), found 64"),
        ("rope.dimension_count", number(64), "expected 1 to key_length (32), found 64"),
        ("rope.freq_base", value(F32, &f32::NAN.to_le_bytes()), "expected a finite number, found NaN"),
        (
            "attention.layer_norm_rms_epsilon",
            value(F32, &2_f32.to_le_bytes()),
            "expected a number between 0 and 1, found 2",
        ),
        ("nextn_predict_layers", number(8), "expected fewer than block_count (8), found 8"),
        ("full_attention_interval", number(0), "expected a number of layers, found 0"),
    ] {
        let mut file = whole();
        if key == "attention.key_length" {
            file.key("qwen35.attention.value_length", number(48));
        }
        file.key(&format!("qwen35.{key}"), odd);
        let (found, named) = (error(file.bytes()), if wanted.contains("(0)") { "ssm.inner_size" } else { key });
        assert_eq!(found, format!("key qwen35.{named}: {wanted}"));
    }
    let found = edited(|file| file.key("qwen35.full_attention_interval", number(3)));
    assert_eq!(found, "key qwen35.full_attention_interval is 3, but block 2 has tensor attn_qkv.weight");
    let found = edited(|file| file.key("qwen35.block_count", number(9)));
    assert_eq!(found, "block 8 of 9: expected tensor attn_q.weight or attn_qkv.weight, found neither");
    let found = edited(|file| file.key("qwen35.block_count", number(7)));
    assert!(found.starts_with("tensor blk.7.") && found.contains("no such tensor"), "{found}");
    let found = edited(|file| file.key("qwen35.feed_forward_length", number(164)));
    assert_eq!(found, "tensor blk.0.ffn_down.weight: expected [64, 164], found [64, 160]");
    let found = edited(|file| file.key("qwen35.ssm.group_count", number(4)));
    assert!(found.starts_with("tensor blk.0.ssm_conv1d.weight: expected [256, 1, 4]"), "{found}");
}

#[test]
fn tensors_that_are_not_the_model_s() {
    let found = edited(|file| file.tensors.retain(|(name, ..)| name != "blk.2.ssm_dt.bias"));
    assert_eq!(found, "tensor blk.2.ssm_dt.bias: expected [4], found nothing");
    let found = edited(|file| file.tensors.push(("blk.0.ffn_gate_inp.weight".into(), vec![4], 0, vec![0; 16])));
    assert!(found.starts_with("tensor blk.0.ffn_gate_inp.weight: expected no such tensor"), "{found}");
    let found = edited(|file| {
        let tensor = file.tensor("blk.0.ffn_up.weight");
        (tensor.2, tensor.3) = (20, vec![0; 160 * 36]);
    });
    let wanted = "expected F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K or Q6_K, found IQ4_NL";
    assert_eq!(found, format!("tensor blk.0.ffn_up.weight: {wanted}"));
    for (value, told) in [(0.5_f32, "0.5"), (f32::NAN, "NaN"), (0.0, "0")] {
        let found = edited(|file| file.tensor("blk.1.ssm_a").3[4..8].copy_from_slice(&value.to_le_bytes()));
        assert_eq!(
            found,
            format!("tensor blk.1.ssm_a: expected −exp(A_log), finite and below zero, found {told} at 1")
        );
    }
    let mut bytes = fs::read(fixture("gguf/mixed.gguf")).unwrap();
    let start = Checkpoint::embedded_gguf(bytes.clone())
        .unwrap()
        .tensor("embed_tokens.weight")
        .map(|view| view.data.to_vec())
        .unwrap();
    let at = bytes.windows(start.len()).position(|window| window == start).unwrap();
    // The first infinite scale, and the smallest scale that is too large.
    bytes[at + 3 * 210 + 208..][..2].copy_from_slice(&[0, 0x7c]);
    let refused = |bytes: Vec<u8>| {
        let checkpoint = Checkpoint::embedded_gguf(bytes).unwrap();
        checkpoint.tensor("embed_tokens.weight").unwrap().require_finite().map_err(|error| error.to_string())
    };
    let told = refused(bytes.clone()).unwrap_err();
    assert!(told.ends_with("token_embd.weight: expected finite scales, found inf at row 3, column 0"), "{told}");
    bytes[at + 3 * 210 + 208..][..2].copy_from_slice(&half::f16::from_f32(16.0).to_le_bytes());
    let told = refused(bytes.clone()).unwrap_err();
    assert!(
        told.ends_with("expected scales of weights that half precision has, found 16 at row 3, column 0"),
        "{told}"
    );
    bytes[at + 3 * 210 + 208..][..2].copy_from_slice(&half::f16::from_f32(-15.9).to_le_bytes());
    refused(bytes).unwrap();
}
