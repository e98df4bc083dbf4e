//! Builds the side files about text from a GGUF file's keys.

use serde_json::{Map, json};

use super::{Value, Values, settings::Keys};
use crate::{Error, Result};

/// The pre-tokenizer's regular expression, from the model's own tokenizer.json.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const TEMPLATE: &str = "tokenizer.chat_template";
const WITH_TOOLS: &str = "tokenizer.chat_template.tool_use";

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// Token types.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;

/// The side file of this name, if the keys have its contents. `file` is the whole file.
pub(in super::super) fn side_file(
    keys: (&Values, &std::path::Path),
    file: &[u8],
    name: &str,
) -> Result<Option<Vec<u8>>> {
    let keys = Keys { values: keys.0, file: keys.1, bytes: file };
    match name {
        "tokenizer.json" => tokenizer(keys, file).map(Some),
        "tokenizer_config.json" => tokenizer_config(keys, file).map(Some),
        "generation_config.json" => sampling(keys),
        "chat_template.jinja" if keys.values.contains_key(TEMPLATE) && !keys.values.contains_key(WITH_TOOLS) => {
            Ok(Some(keys.text(TEMPLATE)?.as_bytes().to_vec()))
        }
        _ => Ok(None),
    }
}

fn texts<'a>(keys: Keys, file: &'a [u8], key: &str) -> Result<impl Iterator<Item = &'a str> + use<'a>> {
    let list = match keys.values.get(key) {
        Some(Value::List(list)) => list.texts(file),
        Some(other) => return Err(keys.bad(key, "a list of strings", other)),
        None => return Err(keys.format(format!("key {key} is missing: without it text cannot be turned into tokens"))),
    };
    list.ok_or_else(|| keys.bad(key, "a list of strings", "another list"))
}

/// The contents of a tokenizer.json.
fn tokenizer(keys: Keys, file: &[u8]) -> Result<Vec<u8>> {
    for (key, wanted) in [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "qwen35")] {
        let found = keys.text(key)?;
        if found != wanted {
            let what = format!("{}: key {key}: a tokenizer of kind {found:?}", keys.file.display());
            return Err(Error::Unsupported { what, hint: format!("Qwen3.5 models have {wanted:?}") });
        }
    }
    let (vocabulary, added) = vocabulary(keys, file)?;
    let mut merges = Vec::new();
    for (at, merge) in texts(keys, file, MERGES)?.enumerate() {
        let pair = merge.split_once(' ').filter(|(first, second)| !first.is_empty() && !second.is_empty());
        let (first, second) = pair.ok_or_else(|| {
            keys.bad(MERGES, "two tokens with a space between them", format_args!("{merge:?} at {at}"))
        })?;
        merges.push([first, second]);
    }
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let split = json!({ "type": "Split", "pattern": { "Regex": PATTERN }, "behavior": "Isolated", "invert": false });
    let contents = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "NFC" },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [split, bytes] },
        "post_processor": bytes,
        "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges,
        },
    });
    Ok(contents.to_string().into_bytes())
}

/// The ids of tokens, and the added tokens, which match before the text is split. Unused tokens get no id: they only
/// pad the embedding's rows.
fn vocabulary(keys: Keys, file: &[u8]) -> Result<(Map<String, serde_json::Value>, Vec<serde_json::Value>)> {
    let types = match keys.values.get(TYPES) {
        Some(Value::List(types)) => types.numbers(file),
        Some(other) => return Err(keys.bad(TYPES, "a list of whole numbers", other)),
        None => return Err(keys.format(format!("key {TYPES} is missing: it says which tokens are special"))),
    };
    let mut types = types.ok_or_else(|| keys.bad(TYPES, "a list of whole numbers", "another list"))?;
    let (mut vocabulary, mut added, mut count) = (Map::new(), Vec::new(), 0);
    for (id, token) in texts(keys, file, TOKENS)?.enumerate() {
        let kind = types.next().ok_or_else(|| keys.bad(TYPES, "a type for each token", format_args!("{id} types")))?;
        count += 1;
        if kind == UNUSED {
            continue;
        }
        if vocabulary.insert(token.to_owned(), id.into()).is_some() {
            return Err(keys.bad(TOKENS, "each token once", format_args!("{token:?} again at {id}")));
        }
        if matches!(kind, CONTROL | USER_DEFINED) {
            added.push(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": kind == CONTROL,
            }));
        }
    }
    if types.next().is_some() {
        return Err(keys.bad(TYPES, format_args!("a type for each of {count} tokens"), "more"));
    }
    Ok((vocabulary, added))
}

/// Special tokens: their names in a tokenizer_config.json, and the keys of their ids.
const SPECIAL: [(&str, &str); 7] = [
    ("bos_token", "bos_token_id"),
    ("eos_token", "eos_token_id"),
    ("unk_token", "unknown_token_id"),
    ("sep_token", "seperator_token_id"),
    ("pad_token", "padding_token_id"),
    ("cls_token", "cls_token_id"),
    ("mask_token", "mask_token_id"),
];

/// The contents of a tokenizer_config.json: special tokens, and the named chat templates if there are any.
fn tokenizer_config(keys: Keys, file: &[u8]) -> Result<Vec<u8>> {
    let mut contents = Map::new();
    for (name, key) in SPECIAL {
        let Some(id) = keys.optional(&format!("tokenizer.ggml.{key}"))? else { continue };
        // An id without a token is common: files of some producers count from one, or keep the id of a larger model.
        if let Some(token) = texts(keys, file, TOKENS)?.nth(id as usize) {
            contents.insert(name.into(), token.into());
        }
    }
    if keys.values.contains_key(WITH_TOOLS) {
        let mut named = vec![json!({ "name": "tool_use", "template": keys.text(WITH_TOOLS)? })];
        if keys.values.contains_key(TEMPLATE) {
            named.push(json!({ "name": "default", "template": keys.text(TEMPLATE)? }));
        }
        contents.insert("chat_template".into(), named.into());
    }
    Ok(serde_json::Value::Object(contents).to_string().into_bytes())
}

/// Keys of sampling, and their names in a generation_config.json.
const SAMPLING: [(&str, &str); 7] = [
    ("temp", "temperature"),
    ("top_k", "top_k"),
    ("top_p", "top_p"),
    ("min_p", "min_p"),
    ("penalty_repeat", "repetition_penalty"),
    ("penalty_present", "presence_penalty"),
    ("penalty_freq", "frequency_penalty"),
];

/// The contents of a generation_config.json, if the file recommends any sampling.
fn sampling(keys: Keys) -> Result<Option<Vec<u8>>> {
    let mut contents = Map::new();
    for (name, ours) in SAMPLING {
        let key = format!("general.sampling.{name}");
        let number = match keys.values.get(&key) {
            None => continue,
            Some(Value::Float(number)) if number.is_finite() => json!(number),
            Some(Value::Unsigned(number)) => json!(number),
            Some(Value::Signed(number)) => json!(number),
            Some(other) => return Err(keys.bad(&key, "a number", other)),
        };
        contents.insert(ours.into(), number);
    }
    Ok((!contents.is_empty()).then(|| serde_json::Value::Object(contents).to_string().into_bytes()))
}
