//! Random damage to headers and configurations gives an error or a consistent checkpoint. It never panics, and never
//! allocates more memory than the input justifies.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    sync::{Arc, LazyLock},
};

use bimetal::{
    Backend, Checkpoint, Model,
    low_level::{
        compute::{cpu::Cpu, dtype::DType},
        model::{
            Weights,
            checkpoint::{Existing, expected, quantize},
            weights::Source,
        },
    },
};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use support::{
    fixtures::fixture,
    scratch::{Scratch, WEIGHTS, file, parts},
};

static CONFIG: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(fixture("tiny-tied-text-f32/config.json")).unwrap());
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(fixture("tiny-tied-text-f32").join(WEIGHTS)).unwrap());

/// The same model in q8 and in q4.
static QUANTIZED: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let original = Checkpoint::embedded(&CONFIG, BYTES.clone(), &[]).unwrap();
    [DType::Q8, DType::Q4].map(|format| {
        let scratch = Scratch::empty();
        quantize(&original, &scratch.0, Existing::Replace, format, &mut |_, _| {}).unwrap();
        fs::read(scratch.0.join(WEIGHTS)).unwrap()
    })
});

static GGUF: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(fixture("gguf/mixed.gguf")).unwrap());

/// Start of the tensors of that file; the bytes before it are damaged more often.
const HEAD: usize = 11_000;

/// Memory limit of opening: the expected tensors of 1,000 layers (the maximum in a config), and a margin.
const MEMORY: isize = 16 << 20;

/// Counts the current thread's allocated bytes and their peak.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is passed unchanged to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Opens a checkpoint and reads everything in it.
fn survive(config: &[u8], weights: Vec<u8>) {
    let length = weights.len() as u64;
    within_memory(|| {
        let Ok(checkpoint) = Checkpoint::embedded(config, weights, &[]) else { return };
        let summary = checkpoint.summary();
        let text: u64 = summary.bytes.values().sum();
        let skipped: u64 = summary.skipped.values().map(|(_, bytes)| bytes).sum();
        assert!(text + skipped <= length);
        look(&checkpoint);
    });
}

/// Opens a GGUF file and reads everything in it, including its text assets.
fn survive_gguf(bytes: Vec<u8>) {
    within_memory(|| {
        let Ok(checkpoint) = Checkpoint::embedded_gguf(bytes) else { return };
        checkpoint.summary();
        look(&checkpoint);
        for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"] {
            let _ = checkpoint.side_file(name);
        }
    });
}

fn within_memory(test: impl FnOnce()) {
    let before = HELD.get();
    PEAK.set(before);
    test();
    assert!(PEAK.get() - before <= MEMORY, "{} bytes were held", PEAK.get() - before);
}

fn look(checkpoint: &Checkpoint) {
    let whole = checkpoint.check().is_ok();
    for tensor in expected(checkpoint.config()) {
        let view = checkpoint.tensor(&tensor.name);
        assert!(view.is_ok() || !whole);
        let Ok(view) = view else { continue };
        assert_eq!(view.shape, tensor.shape);
        let row = view.scales.row_bytes(view.dtype, view.columns() as u32);
        assert_eq!(view.data.len(), tensor.elements() as usize / view.columns() * row);
        let _ = view.find_not_finite();
    }
}

/// A wrong value that an author might write in place of another.
fn odd_value() -> impl Strategy<Value = Value> {
    let names = &["", "F32", "F64", "BF16", "I8", "F4", "full_attention", "qwen3_5", "qwen3_5_text", "yarn", "\0"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4i64..300).prop_map(Value::from),
        prop_oneof![any::<u64>(), Just(u64::MAX), Just(1 << 32), Just(1 << 63)].prop_map(Value::from),
        prop_oneof![any::<f64>(), Just(1e308), Just(1e-320)].prop_map(|number| json!(number)),
        proptest::sample::select(names.as_slice()).prop_map(Value::from),
        vec(prop_oneof![0..9u64, any::<u64>()], 0..4).prop_map(Value::from),
        Just(json!({})),
        Just(json!({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]})),
    ]
}

/// The objects and lists inside `value`, itself first.
fn inner(value: &mut Value, pick: &mut usize, put: &Value, key: Index) -> bool {
    let children: Vec<&mut Value> = match value {
        Value::Object(map) => map.values_mut().collect(),
        Value::Array(list) => list.iter_mut().collect(),
        _ => return false,
    };
    if *pick == 0 && !children.is_empty() {
        let index = key.index(children.len());
        *children.into_iter().nth(index).unwrap() = put.clone();
        return true;
    }
    *pick = pick.saturating_sub(1);
    children.into_iter().any(|child| inner(child, pick, put, key))
}

/// Overwrites a few bytes. The text mostly stays JSON, because most new bytes come from it.
fn scribble(text: &mut [u8], damage: &[(Index, u8)]) {
    damage.iter().for_each(|(place, byte)| text[place.index(text.len())] = *byte);
}

fn damage() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let byte = prop_oneof![proptest::sample::select(&b"0123456789,:[]{}\"eE-. FBIlnx\\"[..]), any::<u8>()];
    vec((any::<Index>(), byte), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scribbled_header(damage in damage()) {
        let (header, data) = parts(&BYTES);
        let mut header = header.to_vec();
        scribble(&mut header, &damage);
        survive(&CONFIG, [&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat());
    }

    #[test]
    fn scribbled_config(damage in damage()) {
        let mut config = CONFIG.clone();
        scribble(&mut config, &damage);
        survive(&config, BYTES.clone());
    }

    #[test]
    fn odd_values_in_the_header(edits in vec((0..60usize, any::<Index>(), odd_value()), 1..4)) {
        let (header, data) = parts(&BYTES);
        let mut header: Value = serde_json::from_slice(header).unwrap();
        for (mut pick, key, put) in edits {
            inner(&mut header, &mut pick, &put, key);
        }
        survive(&CONFIG, file(&header.to_string(), data));
    }

    #[test]
    fn odd_values_in_the_config(edits in vec((0..4usize, any::<Index>(), odd_value()), 1..4)) {
        let mut config: Value = serde_json::from_slice(&CONFIG).unwrap();
        for (mut pick, key, put) in edits {
            inner(&mut config, &mut pick, &put, key);
        }
        survive(config.to_string().as_bytes(), BYTES.clone());
    }

    #[test]
    fn scribbled_header_of_quantized_weights(which in 0..2usize, damage in damage(), cut in any::<Index>()) {
        let (header, data) = parts(&QUANTIZED[which]);
        let mut header = header.to_vec();
        scribble(&mut header, &damage);
        let weights = [&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat();
        survive(&CONFIG, weights[..cut.index(weights.len())].to_vec());
        survive(&CONFIG, weights);
    }

    #[test]
    fn scribbled_gguf(damage in vec((0..HEAD, any::<u8>()), 1..4)) {
        let mut bytes = GGUF.clone();
        damage.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        survive_gguf(bytes);
    }

    /// Lengths, counts and offsets have four or eight bytes.
    #[test]
    fn odd_numbers_in_a_gguf(
        at in prop_oneof![8..400usize, 0..HEAD],
        number in prop_oneof![0..64u64, any::<u64>(), Just(u64::MAX), Just(1 << 31), Just(1 << 32), Just(1 << 63), Just(1 << 60)],
        width in prop_oneof![Just(4usize), Just(8usize)],
    ) {
        let mut bytes = GGUF.clone();
        bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        survive_gguf(bytes);
    }

    #[test]
    fn cut_gguf(cut in prop_oneof![0..HEAD, 0..300_000usize], noise in vec(any::<u8>(), 0..64)) {
        survive_gguf(GGUF[..cut].to_vec());
        survive_gguf([&GGUF[..cut], &noise].concat());
    }

    #[test]
    fn any_length_and_any_cut(length in prop_oneof![0..7000u64, any::<u64>()], cut in any::<Index>()) {
        let weights = [&length.to_le_bytes(), &BYTES[8..]].concat();
        survive(&CONFIG, weights[..cut.index(weights.len())].to_vec());
        survive(&CONFIG, weights);
    }

    #[test]
    fn any_bytes(config in vec(any::<u8>(), 0..200), weights in vec(any::<u8>(), 0..200)) {
        survive(&config, BYTES.clone());
        survive(&CONFIG, file(&String::from_utf8_lossy(&weights), &[]));
        survive(&CONFIG, weights);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any codes and scales either load or give an error.
    #[test]
    fn scribbled_planes(which in 0..2usize, damage in vec((any::<Index>(), any::<u8>()), 1..100), nan in any::<bool>()) {
        let (header, data) = parts(&QUANTIZED[which]);
        let mut data = data.to_vec();
        let length = data.len();
        damage.iter().for_each(|(at, byte)| data[at.index(length)] = if nan { byte | 0x7c } else { *byte });
        let weights = [&(header.len() as u64).to_le_bytes(), header, &data].concat();
        let checkpoint = Checkpoint::embedded(&CONFIG, weights, &[]).unwrap();
        checkpoint.check().unwrap();
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new(1));
        match Model::load(&backend, &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {}) {
            Ok(model) => assert_eq!(vocabulary(&model), checkpoint.config().vocabulary),
            Err(error) => assert!(error.to_string().contains("finite"), "{error}"),
        }
    }

    /// Any blocks and small tensors either load or give an error.
    #[test]
    fn scribbled_weights_of_a_gguf(damage in vec((HEAD..305_216usize, any::<u8>()), 1..100), nan in any::<bool>()) {
        let mut bytes = GGUF.clone();
        damage.into_iter().for_each(|(at, byte)| bytes[at] = if nan { byte | 0x7c } else { byte });
        let checkpoint = Checkpoint::embedded_gguf(bytes);
        let Ok(checkpoint) = checkpoint else { return Ok(()) };
        checkpoint.check().unwrap();
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new(1));
        match Model::load(&backend, &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {}) {
            Ok(model) => assert_eq!(vocabulary(&model), 288),
            Err(error) => assert!(error.to_string().contains("expected finite") || error.to_string().contains("expected scales"), "{error}"),
        }
    }
}

/// The largest allowed configuration gives an error about the missing tensors, within the memory limit.
#[test]
fn the_largest_claim() {
    let mut config: Value = serde_json::from_slice(&CONFIG).unwrap();
    for (key, max) in [("hidden_size", 1 << 16), ("intermediate_size", 1 << 18), ("vocab_size", 1 << 22)] {
        config[key] = json!(max);
    }
    for key in ["num_attention_heads", "num_key_value_heads", "linear_num_key_heads", "linear_num_value_heads"] {
        config[key] = json!(1024);
    }
    let widths = [("head_dim", 512), ("linear_key_head_dim", 256), ("linear_value_head_dim", 256)];
    for (key, max) in widths.into_iter().chain([("num_hidden_layers", 1024)]) {
        config[key] = json!(max);
    }
    config["layer_types"] = Value::Null;
    let checkpoint = Checkpoint::embedded(config.to_string().as_bytes(), BYTES.clone(), &[]).unwrap();
    assert_eq!(checkpoint.config().channels(), 3 << 18);
    assert!(checkpoint.summary().total_parameters() > 1 << 40);
    drop(checkpoint);
    survive(config.to_string().as_bytes(), BYTES.clone());
}

/// Number of rows of the embedding.
fn vocabulary(model: &Model) -> u32 {
    let Weights::Qwen3_5(weights) = &model.weights;
    weights.embed.rows()
}
