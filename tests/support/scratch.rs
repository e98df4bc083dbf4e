//! A copy of a valid checkpoint in a temporary directory, for tests to break.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use bimetal::Checkpoint;
use serde_json::{Map, Value, json};

use super::fixtures::fixture;

pub const WEIGHTS: &str = "model.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";

pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn empty() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bimetal-checkpoint-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }

    /// The configuration and weights of a fixture.
    pub fn of(name: &str) -> Scratch {
        let scratch = Scratch::empty();
        for entry in fs::read_dir(fixture(name)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if file == "config.json" || file.starts_with(WEIGHTS) || file.starts_with("model.safetensors-") {
                scratch.write(&file, fs::read(fixture(name).join(&file)).unwrap());
            }
        }
        scratch
    }

    /// The small tied text model: one file, names without `language_model`.
    pub fn tied() -> Scratch {
        Scratch::of("tiny-tied-text-f32")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    pub fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut json = self.json(name);
        edit(&mut json);
        self.write(name, json.to_string());
    }

    /// Changes the header and data of the only weight file.
    pub fn edit_weights(&self, edit: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        let bytes = self.read(WEIGHTS);
        let (header, data) = parts(&bytes);
        let Value::Object(mut header) = serde_json::from_slice(header).unwrap() else { panic!("no header") };
        let mut data = data.to_vec();
        edit(&mut header, &mut data);
        self.write(WEIGHTS, file(&Value::Object(header).to_string(), &data));
    }

    /// The error of opening and checking, with `DIR` for the directory.
    pub fn error(&self) -> String {
        let opened = Checkpoint::open(&self.0).and_then(|checkpoint| checkpoint.check());
        self.plain(&opened.expect_err("a broken checkpoint was taken"))
    }

    pub fn plain(&self, error: &bimetal::Error) -> String {
        error.to_string().replace(self.0.to_str().unwrap(), "DIR")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Header text and data of a safetensors file.
pub fn parts(file: &[u8]) -> (&[u8], &[u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8..].split_at(length)
}

/// A safetensors file with this header and data.
pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Removes a tensor from header and data, and moves up the tensors after it.
pub fn remove(header: &mut Map<String, Value>, data: &mut Vec<u8>, name: &str) {
    let gone = header.shift_remove(name).unwrap();
    let at = |offset: &Value| offset.as_u64().unwrap() as usize;
    let (begin, end) = (at(&gone["data_offsets"][0]), at(&gone["data_offsets"][1]));
    data.drain(begin..end);
    for (_, tensor) in header.iter_mut().filter(|(name, _)| *name != "__metadata__") {
        let old = (at(&tensor["data_offsets"][0]), at(&tensor["data_offsets"][1]));
        if old.0 >= end {
            tensor["data_offsets"] = json!([old.0 - (end - begin), old.1 - (end - begin)]);
        }
    }
}

/// Adds a tensor of f32 zeros at the end.
pub fn append(header: &mut Map<String, Value>, data: &mut Vec<u8>, name: &str, shape: &[usize]) {
    let begin = data.len();
    data.resize(begin + 4 * shape.iter().product::<usize>(), 0);
    header.insert(name.into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]}));
}
