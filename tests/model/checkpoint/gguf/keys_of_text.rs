//! The tokenizer and the template of a GGUF file, from its keys.

use std::{collections::BTreeMap, fs};

use bimetal::{
    Checkpoint,
    low_level::{generate::TextAssets, text::tokenizer::Tokenizer},
};
use serde_json::Value;

use super::{error, whole};
use crate::{
    container::{self, Gguf, STRING, U32, list, number, string, text},
    support::fixtures,
};

/// The built-in model's tokenizer as GGUF keys.
fn tokenizer(file: &mut Gguf) -> Tokenizer {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories/tokenizer.json");
    let bytes = fs::read(directory).unwrap();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    let mut tokens: BTreeMap<u64, (String, i32)> = BTreeMap::new();
    for (token, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens.insert(id.as_u64().unwrap(), (token.clone(), 1));
    }
    for added in json["added_tokens"].as_array().unwrap() {
        tokens.insert(added["id"].as_u64().unwrap(), (added["content"].as_str().unwrap().into(), 3));
    }
    let merges = json["model"]["merges"].as_array().unwrap();
    let merge = |merge: &Value| string(&format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()));
    let tokens: Vec<_> = tokens.into_values().collect();
    file.key("tokenizer.ggml.model", text("gpt2"));
    file.key("tokenizer.ggml.pre", text("qwen35"));
    file.key("tokenizer.ggml.tokens", list(STRING, &tokens.iter().map(|(token, _)| string(token)).collect::<Vec<_>>()));
    file.key(
        "tokenizer.ggml.token_type",
        list(5, &tokens.iter().map(|(_, kind)| kind.to_le_bytes().to_vec()).collect::<Vec<_>>()),
    );
    file.key("tokenizer.ggml.merges", list(STRING, &merges.iter().map(merge).collect::<Vec<_>>()));
    file.key("tokenizer.ggml.eos_token_id", number(4095));
    file.key("tokenizer.chat_template", text("{{ messages[0].content }}!"));
    Tokenizer::from_bytes(&bytes, directory.as_ref()).unwrap()
}

/// A model with as many embedding rows as the tokenizer has tokens.
pub(super) fn speaking() -> (Gguf, Tokenizer) {
    let mut file = whole();
    for name in ["token_embd.weight", "output.weight"] {
        let tensor = file.tensor(name);
        tensor.1[1] = 4096;
        tensor.3.resize(4096 * 64 * 4, 0);
    }
    let tokenizer = tokenizer(&mut file);
    (file, tokenizer)
}

#[test]
fn text_from_keys() {
    let (file, original) = speaking();
    let checkpoint = Checkpoint::embedded_gguf(file.bytes()).unwrap();
    let read = TextAssets::of(&checkpoint).unwrap();
    assert_eq!(read.tokenizer.vocabulary(), original.vocabulary());
    for sample in [
        "Once upon a time, there was a little girl.\n\nShe said: \"It's mine!\"  12345",
        "<|im_start|>user\nHallo, Ærøskøbing e\u{301}\u{307} 中文 👩\u{200d}🔬<|im_end|>\r\n\t x",
        "",
    ] {
        let ids = read.tokenizer.encode(sample).unwrap();
        assert_eq!(ids, original.encode(sample).unwrap(), "{sample:?}");
        for special in [
            bimetal::low_level::text::tokenizer::SpecialTokens::Skip,
            bimetal::low_level::text::tokenizer::SpecialTokens::Show,
        ] {
            assert_eq!(read.tokenizer.decode(&ids, special), original.decode(&ids, special));
        }
    }
    assert!(read.stop.ids.contains(&4095) && read.template.is_some());
    let config: Value =
        serde_json::from_slice(&checkpoint.side_file("tokenizer_config.json").unwrap().unwrap()).unwrap();
    assert_eq!((&config["eos_token"], &config["bos_token"]), (&Value::from("<|im_end|>"), &Value::Null));
    // Padding rows of an embedding have no text.
    let mixed = TextAssets::of(&fixtures::checkpoint("gguf/mixed.gguf")).unwrap();
    assert_eq!((mixed.tokenizer.vocabulary(), mixed.tokenizer.id_of("<think>")), (284, Some(283)));
    assert_eq!(mixed.tokenizer.id_of("[PAD285]"), None);
    assert_eq!(mixed.tokenizer.decode(&[283, 282], Default::default()), "<think>");
}

#[test]
fn text_that_cannot_be_read() {
    let refused = |edit: &dyn Fn(&mut Gguf)| {
        let (mut file, _) = speaking();
        edit(&mut file);
        let checkpoint = Checkpoint::embedded_gguf(file.bytes()).unwrap();
        let error = TextAssets::of(&checkpoint).err().unwrap().to_string();
        error.strip_prefix("embedded.gguf").unwrap().trim_start_matches(": ").to_owned()
    };
    let key =
        |key: &'static str, value: Vec<u8>| refused(&|file| file.key(&format!("tokenizer.ggml.{key}"), value.clone()));
    assert!(
        key("model", text("llama"))
            .starts_with("key tokenizer.ggml.model: a tokenizer of kind \"llama\" is not supported")
    );
    assert!(key("pre", text("qwen2")).starts_with("key tokenizer.ggml.pre: a tokenizer of kind \"qwen2\""));
    let without = refused(&|file| file.keys.retain(|(key, _)| key != "tokenizer.ggml.merges"));
    assert!(without.starts_with("key tokenizer.ggml.merges is missing"), "{without}");
    assert!(
        key("merges", list(STRING, &[string("ab")]))
            .contains("expected two tokens with a space between them, found \"ab\" at 0")
    );
    assert!(key("merges", number(1)).contains("expected a list of strings, found 1"));
    assert!(key("merges", list(STRING, &[string("q zz")])).contains("tokenizer.json"), "a merge of what is no token");
    assert!(
        key("tokens", list(STRING, &[string("a"), string("a")]))
            .contains("expected each token once, found \"a\" again at 1")
    );
    assert!(key("tokens", list(U32, &[vec![0; 4]])).contains("expected a list of strings, found another list"));
    assert!(key("token_type", list(5, &[vec![1, 0, 0, 0]])).contains("expected a type for each token, found 1 types"));
    assert!(key("token_type", list(STRING, &[])).contains("expected a list of whole numbers, found another list"));
    let tokens: Vec<_> = (0..4097).map(|i| string(&i.to_string())).collect();
    let (mut file, _) = speaking();
    file.key("tokenizer.ggml.tokens", container::list(STRING, &tokens));
    assert_eq!(
        error(file.bytes()),
        "key tokenizer.ggml.tokens: expected at most the 4096 rows of token_embd.weight, found 4097 tokens"
    );
}
