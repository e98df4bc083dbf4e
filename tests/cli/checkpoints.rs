//! Checkpoints that cannot run, each with its error message.

use std::fs;

use serde_json::json;

use crate::{
    run::{checkpoint, command, finish, run},
    support::scratch::{INDEX, Scratch, WEIGHTS, remove},
};

const WANTED: &str =
    "expected the directory of a checkpoint (config.json, model.safetensors, tokenizer.json) or a GGUF file";
const UP: &str = "model.layers.0.mlp.up_proj.weight";

#[test]
fn a_whole_one_runs() {
    let outcome = checkpoint().generate().succeeds();
    assert!(outcome.out.starts_with('a') && outcome.out.ends_with('\n'), "{}", outcome.out);
}

#[test]
fn no_directory() {
    run(&["generate", "a", "--model", "no-such-directory"])
        .refuses(&format!("no-such-directory: no such directory: {WANTED}"));
}

#[test]
fn no_checkpoint() {
    let scratch = Scratch::empty();
    for command in [&["generate", "a"], &["info", "--json"], &["chat", "--no-think"], &["bench", "--json"]] {
        let mut outcome = run(&[command.as_slice(), &["--model", scratch.0.to_str().unwrap()]].concat());
        outcome.err = outcome.err.replace(scratch.0.to_str().unwrap(), "DIR");
        outcome.refuses(&format!("DIR: no config.json here: {WANTED}"));
    }
}

#[test]
fn another_architecture() {
    let scratch = checkpoint();
    for name in ["qwen3_5_moe", "llama"] {
        scratch.edit_json("config.json", |config| config["model_type"] = json!(name));
        scratch.generate().refuses(&format!(
            "DIR/config.json: model_type {name} is not supported: this engine runs dense Qwen3.5 text models (model_type \
             qwen3_5 or qwen3_5_text)"
        ));
    }
}

#[test]
fn a_file_that_is_cut_off() {
    let scratch = checkpoint();
    let whole = scratch.read(WEIGHTS);
    scratch.write(WEIGHTS, &whole[..500_000]);
    scratch.generate().refuses(
        "DIR/model.safetensors: the tensors take 1001248 bytes, but only 494280 are there: the file is cut off, fetch it again",
    );
}

#[test]
fn a_header_that_lies() {
    let scratch = checkpoint();
    let whole = scratch.read(WEIGHTS);
    scratch.write(WEIGHTS, [&u64::MAX.to_le_bytes(), &whole[8..]].concat());
    scratch.generate().refuses(
        "DIR/model.safetensors: the header claims 18446744073709551615 bytes, expected at most 16777216: not a \
         safetensors file",
    );
    scratch.write(WEIGHTS, [&1_006_961_u64.to_le_bytes(), &whole[8..]].concat());
    scratch.generate().refuses(
        "DIR/model.safetensors: the header claims 1006961 bytes, but only 1006960 follow: the file is cut off, fetch it again",
    );
}

#[test]
fn a_tensor_that_is_missing() {
    let scratch = checkpoint();
    scratch.edit_weights(|header, data| remove(header, data, UP));
    scratch.generate().refuses(&format!("DIR: tensor {UP}: expected [160, 64], found nothing"));
}

#[test]
fn a_tensor_of_another_shape() {
    let scratch = checkpoint();
    scratch.edit_weights(|header, _| header[UP]["shape"] = json!([64, 160]));
    scratch.generate().refuses(&format!("DIR/model.safetensors: tensor {UP}: expected [160, 64], found [64, 160]"));
}

#[test]
fn a_tensor_of_another_type() {
    let scratch = checkpoint();
    scratch.edit_weights(|header, _| header[UP]["dtype"] = json!("I32"));
    scratch.generate().refuses(&format!("DIR/model.safetensors: tensor {UP}: expected f32, f16 or bf16, found I32"));
}

#[test]
fn a_value_that_is_no_number() {
    let scratch = checkpoint();
    scratch.edit_weights(|header, data| {
        let begin = header[UP]["data_offsets"][0].as_u64().unwrap() as usize;
        data[begin + 4 * (2 * 64 + 5)..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    scratch
        .generate()
        .refuses(&format!("DIR/model.safetensors: tensor {UP}: expected finite values, found NaN at row 2, column 5"));
}

#[test]
fn a_shard_that_is_missing() {
    let scratch = Scratch::of("mixed-shards");
    let shard = "model.safetensors-00002-of-00002.safetensors";
    fs::remove_file(scratch.path(shard)).unwrap();
    scratch
        .generate()
        .refuses(&format!("DIR/{INDEX}: names the file {shard}, which is not there: the checkpoint is incomplete"));
}

#[test]
fn no_tokenizer() {
    let scratch = Scratch::tied();
    scratch.generate().refuses(
        "DIR/tokenizer.json: there is none, and without it text cannot be turned into tokens; fetch it with the \
         checkpoint",
    );
}

#[test]
fn a_broken_tokenizer() {
    let scratch = Scratch::tied();
    scratch.write("tokenizer.json", "{");
    scratch.generate().refuses(
        "DIR/tokenizer.json: this is not a tokenizer.json that can be read: EOF while parsing an object at line 1 column \
         1",
    );
    scratch.write("tokenizer.json", "");
    scratch.generate().refuses(
        "DIR/tokenizer.json: this is not a tokenizer.json that can be read: EOF while parsing a value at line 1 column 0",
    );
}

#[test]
fn a_prompt_beyond_the_vocabulary() {
    let outcome = checkpoint().run(&["generate", "<|im_end|>"]);
    outcome.refuses("token id 4095 is not below the vocabulary of 512");
}

#[test]
fn broken_side_files() {
    let scratch = checkpoint();
    scratch.write("generation_config.json", "{\"temperature\": \"hot\"}");
    scratch.generate().refuses("DIR/generation_config.json: temperature is \"hot\", expected a number");
    scratch.write("generation_config.json", "{\"presence_penalty\": 1e30}");
    scratch.generate().refuses("DIR/generation_config.json: presence_penalty is 1e30, allowed is -2 to 2");
    scratch.write("generation_config.json", "nonsense");
    scratch.generate().refuses("DIR/generation_config.json: not JSON: expected ident at line 1 column 2");
}

#[test]
#[cfg(unix)]
fn paths_need_not_be_utf_8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let (scratch, out) = (checkpoint(), Scratch::empty());
    let dir = out.0.join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(&scratch.0).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    let fixed = ["generate", "a", "--backend", "cpu", "--temperature", "0", "-n", "4", "--model"];
    let plain = finish(command(&fixed).arg(&scratch.0)).succeeds().out;
    assert_eq!(finish(command(&fixed).arg(&dir)).succeeds().out, plain);
    assert!(finish(command(&["info", "--model"]).arg(&dir)).succeeds().out.contains("caf\u{fffd}"));
    finish(command(&["quantize", "--format", "q8"]).arg(&dir).arg(dir.with_extension("q8"))).succeeds();
    assert_eq!(finish(command(&["info", "--model"]).arg("")).code, Some(2), "an empty path is no path");
}
