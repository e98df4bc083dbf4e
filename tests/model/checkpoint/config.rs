//! Parsing config.json: the accepted keys, and every error message.

use std::{fs, path::Path};

use bimetal::low_level::model::config::{Config, LayerKind};
use serde_json::{Value, json};

use crate::support::fixtures::fixture;

fn good() -> Value {
    serde_json::from_slice(&fs::read(fixture("tiny-tied-text-f32/config.json")).unwrap()).unwrap()
}

fn parse(config: &Value) -> Result<Config, String> {
    Config::parse(config.to_string().as_bytes(), Path::new("c")).map_err(|error| error.to_string())
}

/// The valid text-only config with `keys` set; null removes a key.
fn with(keys: Value) -> Value {
    let mut config = good();
    let object = config.as_object_mut().unwrap();
    object.extend(keys.as_object().unwrap().clone());
    object.retain(|_, value| !value.is_null());
    config
}

#[test]
fn the_official_config_is_the_named_one() {
    let official = fs::read(fixture("qwen3.5-0.8b/config.json")).unwrap();
    assert_eq!(Config::parse(&official, Path::new("c")).unwrap(), Config::named("0.8b").unwrap());
    let counts = ["0.8b", "2b", "4b", "9b", "27b"].map(|name| {
        let config = Config::named(name).unwrap();
        assert_eq!(config.count(LayerKind::Linear), 3 * config.count(LayerKind::Full), "{name}");
        bimetal::low_level::model::checkpoint::expected(&config).len()
    });
    assert_eq!(counts, [320, 320, 426, 427, 851]);
    assert_eq!(Config::named("35b"), None);
}

#[test]
fn derived_sizes() {
    let config = Config::named("4b").unwrap();
    assert_eq!((config.query_width(), config.kv_width()), (4096, 1024));
    assert_eq!((config.key_width(), config.value_width(), config.channels()), (2048, 4096, 8192));
    assert_eq!((config.queries_per_kv(), config.values_per_key()), (4, 2));
}

#[test]
fn both_shapes_of_the_file() {
    let text = parse(&good()).unwrap();
    assert_eq!((text.hidden, text.rotary_dim, text.rope_theta, text.tied), (64, 8, 1e7, true));
    assert_eq!(text.eos, [500]);
    let mut inner = good();
    inner.as_object_mut().unwrap().shift_remove("tie_word_embeddings");
    inner["eos_token_id"] = json!([500, 501]);
    let nested = |tied: Value| json!({"model_type": "qwen3_5", "text_config": inner, "tie_word_embeddings": tied, "eos_token_id": 502});
    let want = Config { tied: false, eos: vec![500, 501, 502], ..text };
    assert_eq!(parse(&nested(json!(false))).unwrap(), want);
    assert_eq!(parse(&nested(Value::Null)).unwrap_err(), "c: tie_word_embeddings is missing");
}

#[test]
fn where_the_two_tie_flags_differ_the_top_one_counts() {
    for top in [true, false] {
        let config = json!({"model_type": "qwen3_5", "tie_word_embeddings": top, "text_config": with(json!({"tie_word_embeddings": !top}))});
        assert_eq!(parse(&config).unwrap().tied, top);
    }
    let config = json!({"model_type": "qwen3_5", "text_config": good()});
    assert!(parse(&config).unwrap().tied);
}

#[test]
fn layers_come_from_the_list_or_the_interval() {
    use LayerKind::{Full, Linear};
    let list = with(json!({"layer_types": ["full_attention", "linear_attention", "full_attention", "full_attention"]}));
    assert_eq!(parse(&list).unwrap().layers, [Full, Linear, Full, Full]);
    let interval = with(json!({"layer_types": null, "full_attention_interval": 2}));
    assert_eq!(parse(&interval).unwrap().layers, [Linear, Full, Linear, Full]);
}

#[test]
fn rope_as_older_savers_write_it() {
    let want = parse(&good()).unwrap();
    let top = with(json!({"rope_parameters": null, "rope_theta": 1e7, "partial_rotary_factor": 0.25}));
    assert_eq!(parse(&top).unwrap(), want);
    let scaling = json!({"type": "default", "rope_theta": 10_000_000});
    let scaling = with(json!({"rope_parameters": null, "rope_scaling": scaling, "partial_rotary_factor": 0.25}));
    assert_eq!(parse(&scaling).unwrap(), want);
}

#[test]
fn every_shape_key_is_required() {
    let keys = [
        "model_type",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_key_head_dim",
        "linear_value_head_dim",
        "linear_conv_kernel_dim",
        "vocab_size",
        "rms_norm_eps",
        "max_position_embeddings",
        "tie_word_embeddings",
    ];
    for key in keys {
        assert_eq!(parse(&with(json!({key: null}))).unwrap_err(), format!("c: {key} is missing"));
        let nested =
            json!({"model_type": "qwen3_5", "text_config": with(json!({key: null})), "tie_word_embeddings": true});
        match key {
            "model_type" | "tie_word_embeddings" => drop(parse(&nested).unwrap()),
            _ => assert_eq!(parse(&nested).unwrap_err(), format!("c: text_config.{key} is missing")),
        }
    }
    for key in ["rope_theta", "partial_rotary_factor"] {
        let mut config = good();
        config["rope_parameters"].as_object_mut().unwrap().shift_remove(key);
        assert_eq!(parse(&config).unwrap_err(), format!("c: rope_parameters.{key} is missing"));
    }
    let neither = with(json!({"layer_types": null, "full_attention_interval": null}));
    assert_eq!(parse(&neither).unwrap_err(), "c: full_attention_interval is missing");
    let bare = json!({"model_type": "qwen3_5"});
    assert_eq!(parse(&bare).unwrap_err(), "c: text_config is missing");
}

#[test]
fn other_models_are_refused_by_name() {
    let hint = "this engine runs dense Qwen3.5 text models (model_type qwen3_5 or qwen3_5_text)";
    for other in ["qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next", "llama", "qwen4_exp"] {
        let want = format!("model_type {other} is not supported: {hint}");
        assert_eq!(parse(&with(json!({"model_type": other}))).unwrap_err(), format!("c: {want}"));
        let nested = json!({"model_type": "qwen3_5", "text_config": {"model_type": other}});
        assert_eq!(parse(&nested).unwrap_err(), format!("c: text_config.{want}"));
    }
}

#[test]
fn variants_are_refused_by_name() {
    let original = "give the original checkpoint, in f32, f16 or bf16";
    let cases = [
        (json!({"hidden_act": "gelu"}), "hidden_act gelu is not supported: Qwen3.5 models use silu".to_string()),
        (
            json!({"attention_bias": true}),
            "attention_bias true is not supported: Qwen3.5 models have no biases".to_string(),
        ),
        (
            json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e7, "partial_rotary_factor": 0.25}}),
            "rope_parameters.rope_type yarn is not supported: only the default rope is computed".to_string(),
        ),
        (
            json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}),
            format!("quantization_config gptq is not supported: {original}"),
        ),
        (
            json!({"quantization": {"group_size": 64, "bits": 4}}),
            format!("quantization of unnamed method is not supported: {original}"),
        ),
    ];
    for (keys, want) in cases {
        assert_eq!(parse(&with(keys)).unwrap_err(), format!("c: {want}"));
    }
}

#[test]
fn sizes_that_cannot_be() {
    let rope = |factor: f64| json!({"rope_parameters": {"rope_theta": 1e7, "partial_rotary_factor": factor}});
    let layers = json!(["full_attention", "linear_attention", "sliding_attention", "full_attention"]);
    let cases = [
        (json!({"hidden_size": 0}), "hidden_size: expected a whole number from 1 to 65536, found 0"),
        (json!({"hidden_size": -64}), "hidden_size: expected a whole number from 1 to 65536, found -64"),
        (json!({"hidden_size": 64.5}), "hidden_size: expected a whole number from 1 to 65536, found 64.5"),
        (json!({"hidden_size": "64"}), "hidden_size: expected a whole number from 1 to 65536, found \"64\""),
        (
            json!({"vocab_size": 1u64 << 40}),
            "vocab_size: expected a whole number from 1 to 4194304, found 1099511627776",
        ),
        (json!({"hidden_size": 66}), "hidden_size: expected a multiple of 4, found 66"),
        (json!({"linear_key_head_dim": 18}), "linear_key_head_dim: expected a multiple of 4, found 18"),
        (
            json!({"num_key_value_heads": 3}),
            "num_attention_heads: expected a multiple of num_key_value_heads (3), found 4",
        ),
        (
            json!({"linear_num_value_heads": 6}),
            "linear_num_value_heads: expected a multiple of linear_num_key_heads (4), found 6",
        ),
        (json!({"head_dim": 48}), "head_dim: expected a power of two from 16 to 512, found 48"),
        (json!({"head_dim": 1024}), "head_dim: expected a power of two from 16 to 512, found 1024"),
        (json!({"linear_value_head_dim": 260}), "linear_value_head_dim: expected at most 256, found 260"),
        (
            json!({"linear_num_value_heads": 3, "linear_num_key_heads": 3}),
            "linear_num_value_heads: expected an even number, found 3",
        ),
        (json!({"linear_conv_kernel_dim": 3}), "linear_conv_kernel_dim: expected 4, found 3"),
        (json!({"num_hidden_layers": 5}), "layer_types: expected num_hidden_layers (5) entries, found 4"),
        (
            json!({"layer_types": layers}),
            "layer_types: expected full_attention or linear_attention, found \"sliding_attention\"",
        ),
        (
            rope(0.2),
            "partial_rotary_factor: expected a part of head_dim (32) that is a multiple of 4, found 6 rotated dimensions",
        ),
        (rope(0.0), "rope_parameters.partial_rotary_factor: expected above 0 and at most 1, found 0"),
        (rope(1.5), "rope_parameters.partial_rotary_factor: expected above 0 and at most 1, found 1.5"),
        (json!({"rms_norm_eps": 0}), "rms_norm_eps: expected a number between 0 and 1, found 0"),
        (json!({"eos_token_id": [1, "x"]}), "eos_token_id: expected a token id or a list of them, found [1,\"x\"]"),
        (json!({"tie_word_embeddings": 1}), "tie_word_embeddings: expected true or false, found 1"),
    ];
    for (keys, want) in cases {
        assert_eq!(parse(&with(keys)).unwrap_err(), format!("c: {want}"));
    }
    let error = Config::parse(b"[1]", Path::new("c")).unwrap_err().to_string();
    assert_eq!(error, "c: not a JSON object: invalid type: sequence, expected a map at line 1 column 0");
}
