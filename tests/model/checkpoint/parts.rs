//! GGUF models in several files, from local disk and by their headers alone.

use std::{fs, path::PathBuf};

use bimetal::{
    Checkpoint,
    low_level::model::checkpoint::{HeadFile, Summary},
};

use crate::{
    container::{Gguf, number},
    support::{fixtures::checkpoint, scratch::Scratch},
};

fn name(part: usize) -> String {
    format!("model-{part:05}-of-00003.gguf")
}

/// A model and its three parts: as the format's own tool cuts it, the first has all keys.
fn parts() -> (Gguf, Vec<Gguf>) {
    let whole = Gguf::of(&checkpoint("tiny-f32"));
    let third = whole.tensors.len().div_ceil(3);
    let part = |(at, tensors): (usize, &[_])| {
        let keys = if at == 0 { whole.keys.clone() } else { Vec::new() };
        let mut part = Gguf { keys, tensors: tensors.to_vec(), ..whole.clone() };
        part.key("split.no", number(at as u32));
        part.key("split.count", number(3));
        part.key("split.tensors.count", number(whole.tensors.len() as u32));
        part
    };
    let parts = whole.tensors.chunks(third).enumerate().map(part).collect();
    (whole, parts)
}

fn written(parts: &[Gguf]) -> Scratch {
    let scratch = Scratch::empty();
    parts.iter().enumerate().for_each(|(at, part)| scratch.write(&name(at + 1), part.bytes()));
    scratch
}

#[test]
fn parts_load_as_one_model_whichever_is_named() {
    let (whole, parts) = parts();
    let (whole, scratch) = (Checkpoint::embedded_gguf(whole.bytes()).unwrap(), written(&parts));
    for part in 1..=3 {
        let model = Checkpoint::open(&scratch.path(&name(part))).unwrap();
        model.check().unwrap();
        assert_eq!(model.config(), whole.config());
        let (found, want) = (model.summary(), whole.summary());
        assert_eq!((found.bytes, found.parameters, found.files.len()), (want.bytes, want.parameters, 3));
        for tensor in ["embed_tokens.weight", "layers.0.linear_attn.A_log", "norm.weight"] {
            assert_eq!(model.tensor(tensor).unwrap().data, whole.tensor(tensor).unwrap().data, "{tensor}");
        }
    }
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let (_, parts) = parts();
    let error = |scratch: &Scratch, file: &str| {
        scratch.plain(&Checkpoint::open(&scratch.path(file)).expect_err("parts that are no model"))
    };
    let scratch = written(&parts[..2]);
    let want = "DIR/model-00003-of-00003.gguf: part 3 of 3 is missing: all parts belong in one directory";
    assert_eq!(error(&scratch, &name(1)), want);

    let scratch = written(&parts);
    fs::rename(scratch.path(&name(1)), scratch.path("other.gguf")).unwrap();
    let want = "DIR/other.gguf: this is part 1 of 3 of a model: expected a name that ends in -00001-of-00003.gguf";
    assert_eq!(error(&scratch, "other.gguf"), want);

    let scratch = written(&[parts[0].clone(), parts[2].clone(), parts[1].clone()]);
    let want = "DIR/model-00002-of-00003.gguf: key split.no: expected 1, as the name of the file says, found 2";
    assert_eq!(error(&scratch, &name(1)), want);

    let mut twice = parts.clone();
    twice[2].tensors[0] = parts[0].tensors[0].clone();
    let scratch = written(&twice);
    let twice = &parts[0].tensors[0].0;
    let want = format!("DIR/model-00003-of-00003.gguf: tensor {twice} is in another part of the model too");
    assert_eq!(error(&scratch, &name(1)), want);

    let mut fewer = parts.clone();
    fewer[2].tensors.pop();
    let all = parts.iter().map(|part| part.tensors.len()).sum::<usize>();
    let want = format!("key split.tensors.count: the model has {all} tensors, its parts have {}", all - 1);
    assert!(error(&written(&fewer), &name(1)).ends_with(&want));
}

/// Files in memory as if they were elsewhere, and the longest head that each was asked for.
fn heads<'a>(files: &'a [(PathBuf, Vec<u8>)], longest: &'a mut [u64]) -> Vec<HeadFile<'a>> {
    let head = |((path, bytes), longest): (&'a (PathBuf, Vec<u8>), &'a mut u64)| HeadFile {
        path: path.clone(),
        length: bytes.len() as u64,
        read: Box::new(|count| {
            *longest = count.max(*longest);
            Ok(bytes[..count as usize].to_vec())
        }),
    };
    files.iter().zip(longest).map(head).collect()
}

#[test]
fn headers_alone_tell_what_a_model_holds() {
    let (_, parts) = parts();
    let (scratch, mut longest) = (written(&parts), [0; 3]);
    let files: Vec<_> = (1..=3).map(|part| (scratch.path(&name(part)), scratch.read(&name(part)))).collect();
    let want = Checkpoint::open(&files[0].0).unwrap().summary();
    assert_eq!(Summary::of_gguf(heads(&files, &mut longest)).unwrap(), want);

    for fixture in ["tiny-tied-text-f32", "mixed-shards"] {
        let scratch = Scratch::of(fixture);
        let want = Checkpoint::open(&scratch.0).unwrap().summary();
        let files: Vec<_> = want.files.iter().map(|(path, _)| (path.clone(), fs::read(path).unwrap())).collect();
        let mut longest = vec![0; files.len()];
        let found = Summary::of_safetensors(&scratch.read("config.json"), heads(&files, &mut longest)).unwrap();
        assert_eq!(found, want);
        assert!(longest.iter().all(|longest| *longest <= 1 << 18), "{longest:?}");
    }
}

#[test]
fn a_false_header_is_told_as_for_a_local_file() {
    let files = [(PathBuf::from("a/model.gguf"), b"GGML, an older form of file".to_vec())];
    let error = Summary::of_gguf(heads(&files, &mut [0])).unwrap_err().to_string();
    assert_eq!(error, "a/model.gguf: it begins with \"GGML\", expected \"GGUF\"");
    let config = Scratch::tied().read("config.json");
    let files = [(PathBuf::from("a/model.safetensors"), vec![255; 100])];
    let error = Summary::of_safetensors(&config, heads(&files, &mut [0])).unwrap_err().to_string();
    assert!(error.starts_with("a/model.safetensors: the header claims"), "{error}");
}
