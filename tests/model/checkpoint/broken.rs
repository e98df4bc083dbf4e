//! Broken checkpoints: each gives an error that names the fault.

use std::{fs, path::Path};

use bimetal::{
    Checkpoint,
    low_level::{generate::TextAssets, text::chat_template::Options},
};
use serde_json::{Value, json};

use crate::support::scratch::{INDEX, Scratch, WEIGHTS, append, file, parts, remove};

const WANTED: &str =
    "expected the directory of a checkpoint (config.json, model.safetensors, tokenizer.json) or a GGUF file";

const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories");

fn open_error(scratch: &Scratch, path: &Path) -> String {
    scratch.plain(&Checkpoint::open(path).unwrap_err())
}

#[test]
fn not_a_checkpoint() {
    let scratch = Scratch::empty();
    assert_eq!(open_error(&scratch, &scratch.path("absent")), format!("DIR/absent: no such directory: {WANTED}"));
    assert_eq!(scratch.error(), format!("DIR: no config.json here: {WANTED}"));
    scratch.write("notes.txt", "hello");
    assert_eq!(open_error(&scratch, &scratch.path("notes.txt")), format!("DIR/notes.txt: found a file, {WANTED}"));
    scratch.write("b-Q4_0.GGUF", "");
    scratch.write("a-Q4_0.gguf", "");
    assert_eq!(scratch.error(), "DIR: no config.json here, but a GGUF file: give the file itself, a-Q4_0.gguf");
}

#[test]
fn no_weights() {
    let scratch = Scratch::tied();
    fs::rename(scratch.path(WEIGHTS), scratch.path("model-00001-of-00002.safetensors")).unwrap();
    assert_eq!(
        scratch.error(),
        "DIR: found model-00001-of-00002.safetensors, but neither model.safetensors nor model.safetensors.index.json, \
         which says what is in which file"
    );
    fs::remove_file(scratch.path("model-00001-of-00002.safetensors")).unwrap();
    let want = "no weights here: expected model.safetensors, or model.safetensors.index.json and its files";
    assert_eq!(scratch.error(), format!("DIR: {want}"));
    fs::create_dir(scratch.path(WEIGHTS)).unwrap();
    assert_eq!(scratch.error(), "DIR/model.safetensors: expected a file of weights");
}

#[test]
fn cut_off() {
    let scratch = Scratch::tied();
    let whole = scratch.read(WEIGHTS);
    assert_eq!((whole.len(), parts(&whole).0.len()), (1_006_968, 5712));
    let cases = [
        (0, "found 0 bytes, expected a safetensors file"),
        (7, "found 7 bytes, expected a safetensors file"),
        (8, "the header claims 5712 bytes, but only 0 follow: the file is cut off, fetch it again"),
        (8 + 5711, "the header claims 5712 bytes, but only 5711 follow: the file is cut off, fetch it again"),
        (8 + 5712, "the tensors take 1001248 bytes, but only 0 are there: the file is cut off, fetch it again"),
        (500_000, "the tensors take 1001248 bytes, but only 494280 are there: the file is cut off, fetch it again"),
        (
            whole.len() - 1,
            "the tensors take 1001248 bytes, but only 1001247 are there: the file is cut off, fetch it again",
        ),
    ];
    for (length, want) in cases {
        scratch.write(WEIGHTS, &whole[..length]);
        assert_eq!(scratch.error(), format!("DIR/model.safetensors: {want}"));
    }
    scratch.write(WEIGHTS, [whole.as_slice(), b"!"].concat());
    let want = "the tensors take 1001248 bytes, found 1001249: the file is damaged, fetch it again";
    assert_eq!(scratch.error(), format!("DIR/model.safetensors: {want}"));
    scratch.write(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1006968\n");
    let want = "a Git LFS pointer stands in for the weights: fetch them with `git lfs pull`";
    assert_eq!(scratch.error(), format!("DIR/model.safetensors: {want}"));
}

#[test]
fn lying_header_length() {
    let scratch = Scratch::tied();
    let whole = scratch.read(WEIGHTS);
    let far = "expected at most 16777216: not a safetensors file";
    let cases = [
        (0, "the safetensors header is unusable: EOF while parsing a value at line 1 column 0".to_string()),
        (5000, "the safetensors header is unusable: EOF while parsing a list at line 1 column 5000".to_string()),
        (5711, "the tensors take 1001248 bytes, found 1001249: the file is damaged, fetch it again".to_string()),
        (5713, "the safetensors header is unusable: trailing characters at line 1 column 5713".to_string()),
        (
            1_006_961,
            "the header claims 1006961 bytes, but only 1006960 follow: the file is cut off, fetch it again".to_string(),
        ),
        (16_777_217, format!("the header claims 16777217 bytes, {far}")),
        (u64::MAX, format!("the header claims 18446744073709551615 bytes, {far}")),
    ];
    for (length, want) in cases {
        scratch.write(WEIGHTS, [&length.to_le_bytes(), &whole[8..]].concat());
        assert_eq!(scratch.error(), format!("DIR/model.safetensors: {want}"));
    }
}

#[test]
fn lying_header() {
    let scratch = Scratch::tied();
    let f32s = |name: &str, shape: Value, offsets: [u64; 2]| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{}}}"#, json!(offsets))
    };
    let four = json!([4]);
    let cases = [
        (
            "[]".into(),
            "the safetensors header is unusable: invalid type: sequence, expected an object of tensors at line 1 column 0",
        ),
        (
            format!("{{{},{}}}", f32s("a", four.clone(), [0, 16]), f32s("a", json!([0]), [16, 16])),
            "the safetensors header is unusable: tensor a is there twice at line 1 column 110",
        ),
        (
            format!("{{{},{}}}", f32s("a", four.clone(), [0, 16]), f32s("b", four.clone(), [8, 24])),
            "tensor b overlaps the one before: begins at byte 8 of the data, expected 16",
        ),
        (
            format!("{{{},{}}}", f32s("a", four.clone(), [0, 16]), f32s("b", json!([1]), [20, 24])),
            "tensor b leaves a gap: begins at byte 20 of the data, expected 16",
        ),
        (
            format!("{{{}}}", f32s("a", json!([5]), [0, 16])),
            "tensor a: F32 [5] takes 20 bytes, found bytes 0 to 16 of the data",
        ),
        (
            format!("{{{}}}", f32s("a", json!([1u64 << 40, 1u64 << 40]), [0, 16])),
            "tensor a: [1099511627776, 1099511627776] is no possible shape",
        ),
        (
            format!("{{{}}}", f32s("a", json!([]), [0, u64::MAX])),
            "tensor a: F32 [] takes 4 bytes, found bytes 0 to 18446744073709551615 of the data",
        ),
        (
            format!("{{{}}}", f32s("a", json!([1u64 << 40]), [0, 1 << 42])),
            "the tensors take 4398046511104 bytes, but only 24 are there: the file is cut off, fetch it again",
        ),
    ];
    for (header, want) in cases {
        let header: String = header;
        scratch.write(WEIGHTS, file(&header, &[0; 24]));
        assert_eq!(scratch.error(), format!("DIR/model.safetensors: {want}"), "{header}");
    }
}

#[test]
fn wrong_tensors() {
    let name = "model.layers.0.linear_attn.conv1d.weight";
    let at = format!("DIR/model.safetensors: tensor {name}: expected");
    let scratch = Scratch::tied();
    scratch.edit_weights(|header, _| header[name]["shape"] = json!([192, 4]));
    assert_eq!(scratch.error(), format!("{at} [192, 1, 4], found [192, 4]"));
    scratch.edit_weights(|header, _| header[name]["shape"] = json!([192, 4, 1]));
    let hint = "(an MLX conversion, whose norms differ too: give the original checkpoint)";
    assert_eq!(scratch.error(), format!("{at} [192, 1, 4], found [192, 4, 1] {hint}"));
    scratch.edit_weights(|header, _| {
        header[name]["shape"] = json!([192, 1, 4]);
        header[name]["dtype"] = json!("I32");
    });
    assert_eq!(scratch.error(), format!("{at} f32, f16 or bf16, found I32"));
    scratch.edit_weights(|header, data| remove(header, data, name));
    assert_eq!(scratch.error(), format!("DIR: tensor {name}: expected [192, 1, 4], found nothing"));
}

#[test]
fn other_tensors() {
    let scratch = Scratch::tied();
    let name = "model.layers.3.self_attn.q_proj.bias";
    scratch.edit_weights(|header, data| append(header, data, name, &[256]));
    let want = "expected no such tensor in a dense Qwen3.5 text model of this configuration, found [256]";
    assert_eq!(scratch.error(), format!("DIR/model.safetensors: tensor {name}: {want}"));
    let checkpoint = Checkpoint::open(&scratch.0).unwrap();
    let error = scratch.plain(&checkpoint.tensor("layers.9.mlp.up_proj.weight").unwrap_err());
    let want = "expected a tensor of this model, found a name that it does not have";
    assert_eq!(error, format!("DIR: tensor model.layers.9.mlp.up_proj.weight: {want}"));
}

#[test]
fn an_untied_head_is_required() {
    let scratch = Scratch::tied();
    scratch.edit_json("config.json", |config| config["tie_word_embeddings"] = json!(false));
    assert_eq!(
        scratch.error(),
        "DIR: tensor lm_head.weight: expected [512, 64], found nothing (tie_word_embeddings is false, so the output \
         head must be there)"
    );
}

#[test]
fn wrong_index() {
    let scratch = Scratch::of("mixed-shards");
    let good = scratch.json(INDEX);
    let second = "model.safetensors-00002-of-00002.safetensors";
    let at = "DIR/model.safetensors.index.json:";
    scratch.write(INDEX, "{");
    assert_eq!(scratch.error(), format!("{at} unusable index: EOF while parsing an object at line 1 column 1"));
    scratch.write(INDEX, "{}");
    assert_eq!(scratch.error(), format!("{at} unusable index: missing field `weight_map` at line 1 column 2"));
    let error = |name: &str, shard: &str| {
        scratch.write(INDEX, good.to_string());
        scratch.edit_json(INDEX, |index| index["weight_map"][name] = json!(shard));
        scratch.error()
    };
    let norm = "model.language_model.norm.weight";
    let first = "model.safetensors-00001-of-00002.safetensors";
    let holder = good["weight_map"][norm].as_str().unwrap();
    let other = if holder == first { second } else { first };
    assert_eq!(error(norm, other), format!("{at} places tensor {norm} in {other}, which does not hold it"));
    assert_eq!(
        error(norm, "gone.safetensors"),
        format!("{at} names the file gone.safetensors, which is not there: the checkpoint is incomplete")
    );
    for outside in ["../weights.safetensors", "/etc/passwd", "..", "", "sub/a.safetensors", "a\\b", "C:a"] {
        let want = format!("{at} {outside:?} is not the name of a file in the same directory");
        assert_eq!(error(norm, outside), want);
    }
    scratch.write(INDEX, good.to_string());
    fs::remove_file(scratch.path(second)).unwrap();
    assert_eq!(
        scratch.error(),
        format!("{at} names the file {second}, which is not there: the checkpoint is incomplete")
    );
}

#[test]
fn values_that_are_no_numbers() {
    let name = "model.layers.0.mlp.down_proj.weight";
    for (value, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let scratch = Scratch::tied();
        scratch.edit_weights(|header, data| {
            let begin = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
            data[begin + 4 * (3 * 160 + 17)..][..4].copy_from_slice(&value.to_le_bytes());
        });
        let checkpoint = Checkpoint::open(&scratch.0).unwrap();
        checkpoint.check().unwrap();
        let view = checkpoint.tensor("layers.0.mlp.down_proj.weight").unwrap();
        let want = format!("expected finite values, found {word} at row 3, column 17");
        let error = scratch.plain(&view.require_finite().unwrap_err());
        assert_eq!(error, format!("DIR/model.safetensors: tensor {name}: {want}"));
    }
}

#[test]
fn other_prefixes_are_named() {
    for prefix in ["language_model.model.", "base_model.model.model.", "transformer.", ""] {
        let scratch = Scratch::tied();
        scratch.edit_weights(|header, _| {
            let renamed = |(name, value): (String, Value)| match name.strip_prefix("model.") {
                Some(rest) => (format!("{prefix}{rest}"), value),
                None => (name, value),
            };
            *header = std::mem::take(header).into_iter().map(renamed).collect();
        });
        let error = scratch.error();
        let expected = format!(
            "found {prefix}embed_tokens.weight (prefix {prefix:?}, expected \"model.language_model.\" or \"model.\": \
             rename the tensors)"
        );
        assert!(error.contains("tensor model.embed_tokens.weight") && error.ends_with(&expected), "{error}");
    }
    let scratch = Scratch::tied();
    scratch.edit_weights(|header, _| {
        let renamed = |(name, value): (String, Value)| (name.replace("weight", "lora_A.weight"), value);
        *header = std::mem::take(header).into_iter().map(renamed).collect();
    });
    assert!(scratch.error().contains("the weights of an adapter, LoRA"), "{}", scratch.error());
}

#[test]
fn missing_shards_without_text_do_not_matter() {
    let scratch = Scratch::of("tiny-f32");
    let place = |name: &str| scratch.edit_json(INDEX, |index| index["weight_map"][name] = json!("absent.safetensors"));
    place("model.visual.blocks.9.attn.qkv.weight");
    place("mtp.layers.9.mlp.up_proj.weight");
    Checkpoint::open(&scratch.0).unwrap().check().unwrap();
    place("model.language_model.layers.9.mlp.up_proj.weight");
    let want = "DIR/model.safetensors.index.json: names the file absent.safetensors, which is not there: the checkpoint is incomplete";
    assert_eq!(scratch.error(), want);
}

#[test]
fn byte_order_marks_are_forgiven_and_pointers_named() {
    let scratch = Scratch::of("tiny-f32");
    let mark = |name: &str| scratch.write(name, [b"\xef\xbb\xbf", &scratch.read(name)[..]].concat());
    let files = [
        ("tokenizer.json", fs::read(format!("{BUILT_IN}/tokenizer.json")).unwrap()),
        ("tokenizer_config.json", br#"{"eos_token": "<|im_start|>"}"#.to_vec()),
        ("special_tokens_map.json", br#"{"pad_token": "a"}"#.to_vec()),
        ("generation_config.json", br#"{"top_k": 5}"#.to_vec()),
        ("chat_template.jinja", b"{{ eos_token }}{{ pad_token }}".to_vec()),
    ];
    files.iter().for_each(|(name, contents)| scratch.write(name, contents));
    ["config.json", INDEX].iter().chain(files.iter().map(|(name, _)| name)).for_each(|name| mark(name));
    let checkpoint = Checkpoint::open(&scratch.0).unwrap();
    checkpoint.check().unwrap();
    let text = TextAssets::of(&checkpoint).unwrap();
    assert_eq!(text.template.unwrap().render(&[], &Options::default()).unwrap(), "<|im_start|>a");
    assert_eq!(text.sampling.top_k, 5);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
    for (name, _) in &files {
        let contents = scratch.read(name);
        scratch.write(name, pointer);
        let error = TextAssets::of(&Checkpoint::open(&scratch.0).unwrap()).err().unwrap();
        let want = "a Git LFS pointer stands in for the file: fetch it with `git lfs pull`";
        assert_eq!(scratch.plain(&error), format!("DIR/{name}: {want}"));
        scratch.write(name, b"\xff\xfe{\0}\0");
        let error = TextAssets::of(&Checkpoint::open(&scratch.0).unwrap()).err().unwrap();
        assert!(error.to_string().contains("found a text in UTF-16, expected UTF-8"), "{error}");
        scratch.write(name, contents);
    }
}
