//! The tokenizer against the demo model's reference, and the streaming decoder against decoding at once.

use std::{path::Path, sync::LazyLock};

use bimetal::{
    Error,
    low_level::text::{
        stop::Stop,
        tokenizer::{SpecialTokens, Tokenizer},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| load(&read("tokenizer.json")).unwrap());
static PEER: LazyLock<tokenizers::Tokenizer> =
    LazyLock::new(|| tokenizers::Tokenizer::from_bytes(read("tokenizer.json")).unwrap());

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/models/tiny-stories/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn load(bytes: &[u8]) -> bimetal::Result<Tokenizer> {
    Tokenizer::from_bytes(bytes, Path::new("some/tokenizer.json"))
}

fn pieces(ids: &[u32], special: SpecialTokens) -> Vec<String> {
    let mut decoder = TOKENIZER.decoder(special);
    let mut pieces: Vec<String> = ids.iter().map(|&id| decoder.push(id).to_owned()).collect();
    pieces.push(decoder.finish().to_owned());
    pieces
}

fn ids(json: &Value) -> Vec<u32> {
    serde_json::from_value(json.clone()).unwrap()
}

#[test]
fn reference_prompts_and_texts() {
    let reference: Value = serde_json::from_slice(&read("reference.json")).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        assert_eq!(TOKENIZER.encode(case["prompt"].as_str().unwrap()).unwrap(), ids(&case["prompt_ids"]));
        let greedy = ids(&case["greedy_ids"]);
        assert_eq!(pieces(&greedy, SpecialTokens::Show).concat(), case["greedy_text"].as_str().unwrap());
        let plain = case["greedy_text"].as_str().unwrap().replace("<|im_end|>", "");
        assert_eq!(TOKENIZER.decode(&greedy, SpecialTokens::Skip), plain);
    }
}

#[test]
fn knows_its_vocabulary() {
    assert_eq!(TOKENIZER.vocabulary(), 4096);
    assert_eq!(TOKENIZER.id_of("<|im_end|>"), Some(4095));
    assert_eq!(TOKENIZER.id_of("<|nothing|>"), None);
    assert!(TOKENIZER.encode("").unwrap().is_empty());
    assert_eq!(TOKENIZER.encode("<|im_end|><|im_end|").unwrap()[0], 4095);
}

#[test]
fn half_characters_wait() {
    let text = "naïve 日本 🦀!";
    let ids = TOKENIZER.encode(text).unwrap();
    let pieces = pieces(&ids, SpecialTokens::Skip);
    assert_eq!(pieces.concat(), text);
    assert!(pieces.iter().any(String::is_empty), "the crab has four bytes and no token of its own: {pieces:?}");
    assert!(!pieces.iter().any(|piece| piece.contains('\u{fffd}')));
    // Cut in the middle: the rest of the character never comes.
    let crab = TOKENIZER.encode("🦀").unwrap();
    assert_eq!(TOKENIZER.decode(&crab[..crab.len() - 1], SpecialTokens::Skip), "\u{fffd}");
}

#[test]
fn ids_without_text_are_empty() {
    let mut decoder = TOKENIZER.decoder(SpecialTokens::Show);
    for id in [4096, 248_319, u32::MAX] {
        assert_eq!(decoder.push(id), "");
    }
    assert_eq!(decoder.push(4095), "<|im_end|>");
}

/// A long run of one character class neither stops the splitter nor takes forever.
#[test]
fn long_texts_are_split_like_short_ones() {
    for unit in [" ", "\n", "a", "a ", "é", "'s", "1"] {
        let text = unit.repeat(200_000 / unit.len());
        let ids = TOKENIZER.encode(&text).unwrap();
        assert_eq!(TOKENIZER.decode(&ids, SpecialTokens::Show), text, "{unit:?}");
        let tail = TOKENIZER.encode(&(text + "x One day, Lily")).unwrap();
        let expected = TOKENIZER.encode(" One day, Lily").unwrap();
        assert!(tail.ends_with(&expected), "{unit:?}");
    }
}

#[test]
fn damaged_files_are_refused_by_name() {
    let good: Value = serde_json::from_slice(&read("tokenizer.json")).unwrap();
    let change = |pointer: &str, value: Value| {
        let mut json = good.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        json.to_string().into_bytes()
    };
    let bad = [
        Vec::new(),
        b"{}".to_vec(),
        b"\xff\xfe".to_vec(),
        read("tokenizer.json")[..100_000].to_vec(),
        change("/decoder", Value::Null),
        change("/decoder", json!({"type": "Fuse"})),
        change("/decoder", json!(5)),
        change("/decoder", json!({"type": "ByteLevel", "add_prefix_space": "yes"})),
        br#"{"decoder": {"type": "ByteLevel", "type": "ByteLevel"}}"#.to_vec(),
        [&read("tokenizer.json")[..1343], b"\x0b", &read("tokenizer.json")[1344..]].concat(),
        change("/model/vocab/a", json!(u32::MAX)),
        change("/model/vocab/a", json!(-1)),
        change("/model/merges/0", json!(["nothing", "there"])),
        change("/pre_tokenizer/pretokenizers/0/pattern", json!({"Regex": "(("})),
    ];
    for bytes in bad {
        let Err(error) = load(&bytes) else { panic!("{:.60?} was accepted", String::from_utf8_lossy(&bytes)) };
        assert!(matches!(error, Error::Format { .. }), "{error}");
        assert!(error.to_string().starts_with("some/tokenizer.json: "), "{error}");
    }
    let truncating =
        change("/truncation", json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}));
    assert_eq!(load(&truncating).unwrap().encode("One day, Lily found a key").unwrap().len(), 7);
}

#[test]
fn stop_ids_come_from_all_files() {
    let path = Path::new("config.json");
    let mut stop = Stop::of(&TOKENIZER);
    assert_eq!(stop.ids, [4093, 4095].into());
    stop.add_from(&json!({"eos_token_id": 7, "text_config": {"eos_token_id": [8, 9]}}), path, &TOKENIZER).unwrap();
    stop.add_from(&json!({"eos_token": "<|im_start|>"}), path, &TOKENIZER).unwrap();
    stop.add_from(&json!({"eos_token": {"content": "a"}, "eos_token_id": null}), path, &TOKENIZER).unwrap();
    stop.add_from(&json!({"eos_token": null}), path, &TOKENIZER).unwrap();
    stop.add_from(&json!({"eos_token": "<|unknown|>"}), path, &TOKENIZER).unwrap();
    assert_eq!(stop.ids, [7, 8, 9, TOKENIZER.id_of("a").unwrap(), 4093, 4094, 4095].into());
    for bad in [json!("x"), json!(-1), json!([1, null]), json!(1.5), json!(1u64 << 32)] {
        let error = stop.add_from(&json!({"eos_token_id": bad}), path, &TOKENIZER).unwrap_err();
        assert!(error.to_string().starts_with("config.json: eos_token_id is "), "{error}");
    }
    for file in ["config.json", "generation_config.json", "tokenizer_config.json"] {
        let json = serde_json::from_slice(&read(file)).unwrap();
        stop.add_from(&json, path, &TOKENIZER).unwrap();
    }
    assert!(stop.add_strings(["".to_owned()]).is_err());
}

proptest! {
    #[test]
    fn pieces_are_the_whole(ids in prop::collection::vec(prop_oneof![0u32..300, 0u32..4200], 0..200)) {
        for (special, skip) in [(SpecialTokens::Skip, true), (SpecialTokens::Show, false)] {
            let whole = PEER.decode(&ids, skip).unwrap();
            prop_assert_eq!(&pieces(&ids, special).concat(), &whole);
            prop_assert_eq!(&TOKENIZER.decode(&ids, special), &whole);
        }
    }

    #[test]
    fn text_survives(text in "\\PC{0,40}") {
        use_nfc(&text)?;
    }

    #[test]
    fn damaged_json_never_panics(at in 0usize..264_000, byte in any::<u8>()) {
        let mut bytes = read("tokenizer.json");
        bytes[at] = byte;
        if let Ok(tokenizer) = load(&bytes) {
            let _ = tokenizer.encode("One day, Lily <|im_end|>");
        }
    }
}

/// Encoding normalizes to NFC, so a second round trip changes nothing.
fn use_nfc(text: &str) -> Result<(), TestCaseError> {
    let once = TOKENIZER.decode(&TOKENIZER.encode(text).unwrap(), SpecialTokens::Show);
    let twice = TOKENIZER.decode(&TOKENIZER.encode(&once).unwrap(), SpecialTokens::Show);
    prop_assert_eq!(once, twice);
    Ok(())
}
