//! What a checkpoint's files say about its text: special tokens, added tokens, stop ids, sampling, template.

use bimetal::{
    Checkpoint, Message, Result, Sampling,
    low_level::{
        engine::sampler::Mode,
        generate::{Advice, TextAssets},
        text::{chat_template::Options, tokenizer::SpecialTokens},
    },
};
use serde_json::{Value, json};

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/models/tiny-stories/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The built-in model's configuration and tokenizer, no weights, and these files.
fn assets(files: &[(&'static str, Value)]) -> Result<TextAssets> {
    let mut side: Vec<(&'static str, &'static [u8])> = vec![("tokenizer.json", read("tokenizer.json").leak())];
    for (name, json) in files {
        let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        side.push((name, text.leak().as_bytes()));
    }
    TextAssets::of(&Checkpoint::embedded(&read("config.json"), b"\x02\0\0\0\0\0\0\0{}".to_vec(), side.leak()).unwrap())
}

fn config(json: Value) -> TextAssets {
    assets(&[("tokenizer_config.json", json)]).unwrap()
}

fn error(files: &[(&'static str, Value)]) -> String {
    assets(files).err().unwrap().to_string()
}

#[test]
fn special_tokens_have_names() {
    let text = config(json!({
        "bos_token": "<|im_start|>", "eos_token": {"__type": "AddedToken", "content": "a", "lstrip": false},
        "unk_token": null, "image_token": "<|endoftext|>", "add_bos_token": false,
        "extra_special_tokens": {"think_token": "the"},
    }));
    let named: Vec<_> = text.special.iter().map(|(name, token)| (name.as_str(), token.as_str())).collect();
    let expected =
        [("bos_token", "<|im_start|>"), ("eos_token", "a"), ("image_token", "<|endoftext|>"), ("think_token", "the")];
    assert_eq!(named, expected);
    assert!(text.stop.ids.contains(&text.tokenizer.id_of("a").unwrap()));
    // A special token is one id wherever it stands, and decoding may skip it.
    let ids = text.tokenizer.encode("xathex").unwrap();
    assert_eq!(text.tokenizer.decode(&ids, SpecialTokens::Skip), "xx");
}

#[test]
fn the_other_files_are_read_as_transformers_reads_them() {
    let map = json!({"eos_token": {"content": "b"}, "pad_token": "c"});
    let config = json!({"eos_token": "a", "bos_token": "d"});
    let text = assets(&[("tokenizer_config.json", config), ("special_tokens_map.json", map.clone())]).unwrap();
    assert_eq!(text.special, [("bos_token", "d"), ("eos_token", "b"), ("pad_token", "c")].map(owned).into());
    let config = json!({"eos_token": "a", "added_tokens_decoder": {}});
    let text = assets(&[("tokenizer_config.json", config), ("special_tokens_map.json", map.clone())]).unwrap();
    assert_eq!(text.special, [("eos_token", "a")].map(owned).into());
    assert_eq!(assets(&[("special_tokens_map.json", map)]).unwrap().special.len(), 2);
    assert!(assets(&[]).unwrap().special.is_empty());
}

fn owned((name, token): (&str, &str)) -> (String, String) {
    (name.into(), token.into())
}

#[test]
fn added_tokens_of_the_configuration_are_one_id_each() {
    let text = config(json!({
        "added_tokens_decoder": {
            "4097": {"content": "<tool>", "special": false},
            "4096": {"content": "<|new|>", "special": true, "rstrip": true},
            "4095": {"content": "<|im_end|>", "special": true},
        },
        "eos_token": "<|new|>", "pad_token": "[PAD]",
    }));
    let id = |token: &str| text.tokenizer.id_of(token);
    assert_eq!([id("<|im_end|>"), id("<|new|>"), id("<tool>"), id("[PAD]")], [4095, 4096, 4097, 4098].map(Some));
    assert_eq!(text.tokenizer.vocabulary(), 4099);
    let ids = text.tokenizer.encode("a<|new|>  <tool>a").unwrap();
    let a = id("a").unwrap();
    assert_eq!(ids, [a, 4096, 4097, a]);
    assert_eq!(text.tokenizer.decode(&ids, SpecialTokens::Skip), "a<tool>a");
    assert!(text.stop.ids.contains(&4096));
}

#[test]
fn tokens_of_another_type_are_named() {
    let cases = [
        (json!({"eos_token": 7}), "eos_token is 7, expected a string"),
        (json!({"bos_token": {"text": "a"}}), "bos_token is {\"text\":\"a\"}, expected a string"),
        (json!({"added_tokens_decoder": [1]}), "added_tokens_decoder is [1], expected an object"),
        (json!({"added_tokens_decoder": {"x": {"content": "a"}}}), "added_tokens_decoder.x is "),
        (
            json!({"added_tokens_decoder": {"1": {"content": "a", "special": 1}}}),
            "added_tokens_decoder.1.special is 1,",
        ),
        (json!({"extra_special_tokens": 5}), "extra_special_tokens is 5, expected a list"),
    ];
    for (config, expected) in cases {
        let error = error(&[("tokenizer_config.json", config)]);
        assert!(error.starts_with(&format!("embedded/tokenizer_config.json: {expected}")), "{error}");
    }
    for name in ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"] {
        let found = error(&[(name, json!([1]))]);
        assert_eq!(found, format!("embedded/{name}: no JSON object, which is expected here"));
    }
    let found = error(&[("special_tokens_map.json", json!({"eos_token": true}))]);
    assert!(found.starts_with("embedded/special_tokens_map.json: eos_token is true"), "{found}");
}

#[test]
fn templates_see_the_tokens() {
    let source = "{{ bos_token + messages[0].content }}{{ eos_token }}{{ pad_token is defined }}";
    let tokens = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": source});
    let render = |text: &TextAssets| {
        text.template.as_ref().unwrap().render(&[Message::new("user", "hi")], &Options::default()).unwrap()
    };
    assert_eq!(render(&config(tokens.clone())), "<s>hi</s>False");
    let files = [("tokenizer_config.json", tokens), ("chat_template.jinja", json!("{{ eos_token }}!"))];
    assert_eq!(render(&assets(&files).unwrap()), "</s>!");
}

#[test]
fn sampling_says_where_it_comes_from() {
    let read = |json: Value| {
        let text = assets(&[("generation_config.json", json)]).unwrap();
        (text.sampling, text.advice)
    };
    let card = (Sampling::model_card(Mode::Direct), Advice::ModelCard);
    assert_eq!(read(json!({"eos_token_id": 5})), card);
    let own = Sampling { temperature: 0.5, presence_penalty: 1.0, ..Sampling::plain() };
    assert_eq!(read(json!({"temperature": 0.5, "presence_penalty": 1.0})), (own, Advice::Checkpoint));
    assert_eq!(read(json!({"do_sample": false})), (Sampling::greedy(), Advice::Checkpoint));
}
