//! Complete checkpoints: every layout, naming and dtype, and the official one's header.

mod broken;
mod config;
mod gguf;
mod parts;
mod quantized;

use std::{
    borrow::Cow,
    fs::{self, File},
    io::Write,
};

use bimetal::{
    Checkpoint,
    low_level::{
        compute::{dtype::DType, formats::Scales},
        model::checkpoint::{Part, Skipped, TensorView, expected},
    },
};
use serde_json::{Map, Value, json};

use crate::support::{
    fixtures::{self, checkpoint, fixture},
    scratch::{INDEX, Scratch, WEIGHTS, append, file, parts},
};

const FIXTURES: [&str; 6] =
    ["tiny-f32", "tiny-tied-text-f32", "fast-decay-f16", "mixed-shards", "real-heads-bf16", "dense36-bf16"];

#[test]
fn fixtures_are_whole() {
    for name in FIXTURES {
        let checkpoint = checkpoint(name);
        checkpoint.check().unwrap();
        for tensor in expected(checkpoint.config()) {
            let view = checkpoint.tensor(&tensor.name).unwrap();
            assert_eq!(view.data.len() as u64, tensor.elements() * view.dtype.bytes(), "{}", tensor.name);
            view.require_finite().unwrap();
        }
    }
}

#[test]
fn both_namings_lead_to_the_same_names() {
    let text = checkpoint("tiny-tied-text-f32");
    assert_eq!(text.tensor("norm.weight").unwrap().name, "model.norm.weight");
    let multimodal = checkpoint("tiny-f32");
    assert_eq!(multimodal.tensor("norm.weight").unwrap().name, "model.language_model.norm.weight");
    assert_eq!(multimodal.tensor("lm_head.weight").unwrap().name, "lm_head.weight");
    let conv = multimodal.tensor("layers.0.linear_attn.conv1d.weight").unwrap();
    assert_eq!((conv.dtype, conv.shape), (DType::F32, [160, 1, 4].as_slice()));
}

#[test]
fn one_of_one_needs_no_index() {
    let scratch = Scratch::of("tiny-f32");
    fs::remove_file(scratch.path(INDEX)).unwrap();
    Checkpoint::open(&scratch.0).unwrap().check().unwrap();
}

#[test]
fn in_memory_it_is_the_same() {
    let scratch = Scratch::tied();
    let mapped = Checkpoint::open(&scratch.0).unwrap();
    // One more byte in the header, so that every tensor is unaligned.
    let bytes = scratch.read(WEIGHTS);
    let (header, data) = parts(&bytes);
    let bytes = file(&format!("{} ", str::from_utf8(header).unwrap()), data);
    static SIDE: [(&str, &[u8]); 1] = [("tokenizer.json", b"{}")];
    let memory = Checkpoint::embedded(&scratch.read("config.json"), bytes, &SIDE).unwrap();
    memory.check().unwrap();
    for tensor in expected(mapped.config()) {
        let (mapped, memory) = (mapped.tensor(&tensor.name).unwrap(), memory.tensor(&tensor.name).unwrap());
        assert_eq!(mapped.data, memory.data);
        memory.require_finite().unwrap();
    }
    assert_eq!(memory.side_file("tokenizer.json").unwrap(), Some(Cow::Borrowed(b"{}".as_slice())));
    assert_eq!(memory.side_file("chat_template.jinja").unwrap(), None);
    assert_eq!(memory.path().to_str(), Some("embedded"));
}

#[test]
fn a_released_tensor_reads_the_same() {
    let scratch = Scratch::tied();
    let checkpoint = Checkpoint::open(&scratch.0).unwrap();
    let view = checkpoint.tensor("layers.1.mlp.up_proj.weight").unwrap();
    let before = view.data.to_vec();
    checkpoint.release(&view);
    assert_eq!(view.data, before);
    // Tensors of another checkpoint stay untouched.
    let other = fixtures::checkpoint("tiny-f32");
    checkpoint.release(&other.tensor("norm.weight").unwrap());
}

#[test]
fn side_files_are_read_or_absent() {
    let scratch = Scratch::tied();
    scratch.write("chat_template.jinja", "{{ messages }}");
    let checkpoint = Checkpoint::open(&scratch.0).unwrap();
    assert_eq!(checkpoint.side_file("chat_template.jinja").unwrap().unwrap(), b"{{ messages }}".as_slice());
    assert_eq!(checkpoint.side_file("generation_config.json").unwrap(), None);
    File::create(scratch.path("tokenizer.json")).unwrap().set_len((64 << 20) + 1).unwrap();
    let error = scratch.plain(&checkpoint.side_file("tokenizer.json").unwrap_err());
    assert_eq!(error, "DIR/tokenizer.json: found more than 67108864 bytes, expected at most that");
    let error = scratch.plain(&checkpoint.side_file("../config.json").unwrap_err());
    assert_eq!(error, r#"DIR: "../config.json" is not the name of a file in the same directory"#);
}

#[test]
fn what_is_beside_the_text_model_is_skipped() {
    let scratch = Scratch::tied();
    scratch.edit_weights(|header, data| {
        for name in ["model.visual.patch.weight", "mtp.fc.weight", "mtp.norm.weight", "lm_head.weight", "score.weight"]
        {
            append(header, data, name, &[3]);
        }
        append(header, data, "model.layers.3.self_attn.rotary_emb.inv_freq", &[4]);
    });
    let checkpoint = Checkpoint::open(&scratch.0).unwrap();
    checkpoint.check().unwrap();
    let skipped: Vec<_> = checkpoint.summary().skipped.into_iter().collect();
    let want =
        [(Skipped::Vision, (1, 12)), (Skipped::Mtp, (2, 24)), (Skipped::TiedHead, (1, 12)), (Skipped::Other, (2, 28))];
    assert_eq!(skipped, want);
}

#[test]
fn a_stale_index_may_name_parts_that_are_skipped() {
    let scratch = Scratch::of("mixed-shards");
    scratch.edit_json(INDEX, |index| {
        let shard = "model.safetensors-00001-of-00002.safetensors";
        index["weight_map"]["mtp.gone.weight"] = json!(shard);
        index["weight_map"]["model.visual.gone.weight"] = json!(shard);
    });
    Checkpoint::open(&scratch.0).unwrap().check().unwrap();
}

/// The official 0.8B checkpoint: its real config and header; its data is a hole in the file.
#[test]
fn the_official_header_is_understood() {
    let scratch = Scratch::empty();
    scratch.write("config.json", fs::read(fixture("qwen3.5-0.8b/config.json")).unwrap());
    let table = fs::read_to_string(fixture("qwen3.5-0.8b/tensors.tsv")).unwrap();
    let mut header = Map::new();
    let mut end = 0;
    for line in table.lines().skip(1) {
        let [name, dtype, shape, begin, after] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let shape: Value = serde_json::from_str(shape).unwrap();
        end = after.parse::<u64>().unwrap();
        let offsets = [begin.parse::<u64>().unwrap(), end];
        header.insert(name.into(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
    }
    let start = file(&Value::Object(header).to_string(), &[]);
    let mut weights = File::create(scratch.path("model.safetensors-00001-of-00001.safetensors")).unwrap();
    weights.write_all(&start).unwrap();
    weights.set_len(start.len() as u64 + end).unwrap();

    let checkpoint = Checkpoint::open(&scratch.0).unwrap();
    checkpoint.check().unwrap();
    assert_eq!(expected(checkpoint.config()).len(), 320);
    let summary = checkpoint.summary();
    assert_eq!(summary.total_parameters(), 752_393_024);
    assert_eq!(summary.parameters[&Part::Embedding], 248_320 * 1024);
    assert_eq!(summary.bytes[&DType::F32], 18 * (16 + 128) * 4);
    assert_eq!(summary.bytes[&DType::Bf16], 2 * (summary.total_parameters() - 18 * (16 + 128)));
    assert_eq!(summary.skipped[&Skipped::Vision].0, 153);
    assert_eq!(summary.skipped[&Skipped::Mtp].0, 15);
    assert_eq!(summary.files[0].1, start.len() as u64 + 1_746_882_752);
}

#[test]
fn the_first_value_that_is_no_number_is_found() {
    let places = [0, 1, 76, 4095, 4096, 4097, 8191, 9 * 1000 - 1];
    let cases = [
        (
            DType::F32,
            f32::MAX.to_le_bytes().to_vec(),
            [vec![0, 0, 0x80, 0x7f], vec![0, 0, 0x80, 0xff], vec![1, 0, 0x80, 0x7f]],
        ),
        (DType::F16, vec![0xff, 0x7b], [vec![0, 0x7c], vec![0, 0xfc], vec![1, 0x7c]]),
        (DType::Bf16, vec![0x7f, 0x7f], [vec![0x80, 0x7f], vec![0x80, 0xff], vec![0xc0, 0x7f]]),
    ];
    for (dtype, largest, bad) in cases {
        let name = "w";
        let good = largest.repeat(9000);
        let view = |data: &[u8]| {
            TensorView { name, file: "f".as_ref(), dtype, shape: &[9, 10, 100], data, scales: Scales::default() }
                .find_not_finite()
        };
        assert_eq!(view(&good), None);
        for (place, bad) in places.into_iter().flat_map(|place| bad.iter().map(move |bad| (place, bad))) {
            let mut data = good.clone();
            data[place * bad.len()..][..bad.len()].copy_from_slice(bad);
            // A second bad value after the first must not be reported.
            data[8999 * bad.len()..].copy_from_slice(bad);
            let (row, column, value) = view(&data).unwrap();
            assert_eq!((row, column, value.is_finite()), (place / 100, place % 100, false), "{dtype}");
        }
    }
}
