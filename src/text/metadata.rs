//! The special tokens and added tokens of a checkpoint, read once and handed to the tokenizer, the chat template and
//! the stop ids. Knows no model.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The names under which transformers hands special tokens to a chat template.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The file that most tokens come from.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Read only if tokenizer_config.json has no `added_tokens_decoder`, as in transformers.
pub const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";

/// A token that is recognized before the text is split into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedToken {
    /// Its text.
    pub content: String,
    /// Whether it is recognized only as a whole word.
    pub single_word: bool,
    /// Whether it takes in the white space before it.
    pub lstrip: bool,
    /// Whether it takes in the white space after it.
    pub rstrip: bool,
    /// Whether it is recognized in normalized text.
    pub normalized: bool,
    /// Whether decoding may skip it.
    pub special: bool,
}

/// The special tokens and added tokens of a checkpoint's JSON files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Special tokens by name: `bos_token`, `eos_token` and others. A chat template sees each under its name.
    pub special: BTreeMap<String, String>,
    /// Added tokens in the order in which the tokenizer takes them: those with ids, then special tokens without.
    pub added: Vec<AddedToken>,
    /// The ids that `added_tokens_decoder` gives to the first added tokens.
    pub ids: Vec<u32>,
}

impl Metadata {
    /// Reads tokenizer_config.json and special_tokens_map.json of the checkpoint at `place`; either may be absent.
    ///
    /// # Errors
    /// [`Error::Format`] naming file and key for a token of another JSON type.
    pub fn read(config: Option<&Value>, map: Option<&Value>, place: &Path) -> Result<Metadata> {
        let empty = Map::new();
        let file = |name| JsonFile { name, place };
        let config = (config.and_then(Value::as_object).unwrap_or(&empty), file(TOKENIZER_CONFIG));
        let map = map.and_then(Value::as_object).filter(|_| !config.0.contains_key("added_tokens_decoder"));
        let mut metadata = Metadata::default();
        metadata.decoder(config.0, config.1)?;
        let mut special = special(config.0, config.1)?;
        for token in self::special(map.unwrap_or(&empty), file(SPECIAL_TOKENS_MAP))? {
            match special.iter_mut().find(|known| known.name.is_some() && known.name == token.name) {
                Some(known) => *known = token,
                None => special.push(token),
            }
        }
        for Special { name, token } in special {
            metadata.special.extend(name.map(|name| (name, token.content.clone())));
            match metadata.added.iter_mut().find(|added| added.content == token.content) {
                Some(added) => added.special = true,
                None => metadata.added.push(token),
            }
        }
        Ok(metadata)
    }

    /// The added tokens of `added_tokens_decoder`, in the order of their ids.
    fn decoder(&mut self, config: &Map<String, Value>, file: JsonFile) -> Result<()> {
        let key = "added_tokens_decoder";
        let mut tokens = BTreeMap::new();
        match config.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (id, token) in entries {
                    let key = format!("{key}.{id}");
                    let number = id.parse::<u32>().map_err(|_| file.bad(&key, "a token id as the key", token))?;
                    tokens.insert(number, added(token, file, &key, false)?);
                }
            }
            Some(other) => return Err(file.bad(key, "an object of tokens by id", other)),
        }
        (self.ids, self.added) = tokens.into_iter().unzip();
        Ok(())
    }
}

/// A special token, with its name if it has one.
struct Special {
    name: Option<String>,
    token: AddedToken,
}

/// The special tokens of one file, in the order in which transformers adds them.
fn special(keys: &Map<String, Value>, file: JsonFile) -> Result<Vec<Special>> {
    let read =
        |name: &str, token: &Value| Ok(Special { name: Some(name.to_owned()), token: added(token, file, name, true)? });
    let standard = NAMES.iter().filter_map(|name| keys.get_key_value(*name)).filter(|(_, token)| !token.is_null());
    let mut found = standard.map(|(name, token)| read(name, token)).collect::<Result<Vec<_>>>()?;
    // A model may name more tokens, for example `image_token`. Keys like `add_bos_token` are no tokens.
    let is_token = |token: &Value| token.is_string() || token.get("content").is_some();
    for (name, token) in keys.iter().filter(|(name, token)| name.ends_with("_token") && is_token(token)) {
        if !NAMES.contains(&name.as_str()) {
            found.push(read(name, token)?);
        }
    }
    for key in ["model_specific_special_tokens", "additional_special_tokens", "extra_special_tokens"] {
        match keys.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for token in list {
                    found.push(Special { name: None, token: added(token, file, key, true)? });
                }
            }
            Some(Value::Object(named)) => {
                for (name, token) in named {
                    found.push(read(name, token)?);
                }
            }
            Some(other) => return Err(file.bad(key, "a list of tokens, or tokens by name", other)),
        }
    }
    Ok(found)
}

/// One token: its text, or an object with its text and flags. `special` is the value of that flag if it is absent.
fn added(token: &Value, file: JsonFile, key: &str, special: bool) -> Result<AddedToken> {
    let wanted = "a string, or an object with the string `content`";
    let content = token.as_str().or_else(|| token.get("content").and_then(Value::as_str));
    let content = content.ok_or_else(|| file.bad(key, wanted, token))?.to_owned();
    let flag = |name: &str, default: bool| match token.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(file.bad(&format!("{key}.{name}"), "true or false", other)),
    };
    let special = flag("special", special)? || special;
    Ok(AddedToken {
        single_word: flag("single_word", false)?,
        lstrip: flag("lstrip", false)?,
        rstrip: flag("rstrip", false)?,
        normalized: flag("normalized", !special)?,
        content,
        special,
    })
}

/// A JSON file, for messages.
#[derive(Clone, Copy)]
struct JsonFile<'a> {
    name: &'static str,
    place: &'a Path,
}

impl JsonFile<'_> {
    fn bad(self, key: &str, wanted: &str, found: &Value) -> Error {
        Error::Format { file: self.place.join(self.name), what: format!("{key} is {found}, expected {wanted}") }
    }
}
