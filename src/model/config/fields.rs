//! Typed access to one JSON object of a config.json. Every error names the file and the full path of the key.

use std::{fmt::Display, path::Path};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// One object of a config file, and its path.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    file: &'a Path,
    map: &'a Map<String, Value>,
    /// Empty at the top level, or `text_config` or `text_config.rope_parameters`.
    path: [&'a str; 2],
    /// Other key names for messages, if the file is not a config.json.
    spelling: Spelling<'a>,
}

/// Keys of a config.json, and their names in another file format.
pub(crate) type Spelling<'a> = &'a [(&'a str, &'a str)];

impl<'a> Fields<'a> {
    pub(super) fn top(file: &'a Path, map: &'a Map<String, Value>, spelling: Spelling<'a>) -> Fields<'a> {
        Fields { file, map, path: ["", ""], spelling }
    }

    /// The value at `key`; a JSON null counts as absent, as in transformers.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The object at `key`, if there is one.
    pub(super) fn object(&self, key: &'a str) -> Result<Option<Fields<'a>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.bad(key, "an object", value))?;
        let path = if self.path[0].is_empty() { [key, ""] } else { [self.path[0], key] };
        Ok(Some(Fields { map, path, ..*self }))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| self.bad(key, "a string", value));
        self.get(key).map(read).transpose()
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let read = |value: &'a Value| value.as_bool().ok_or_else(|| self.bad(key, "true or false", value));
        self.get(key).map(read).transpose()
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        let read = |value: &'a Value| value.as_f64().ok_or_else(|| self.bad(key, "a number", value));
        self.get(key).map(read).transpose()
    }

    /// A required size between 1 and `max`.
    pub(super) fn size(&self, key: &str, max: u32) -> Result<u32> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        let size = value.as_u64().and_then(|size| u32::try_from(size).ok());
        let size = size.filter(|size| (1..=max).contains(size));
        size.ok_or_else(|| self.bad(key, format_args!("a whole number from 1 to {max}"), value))
    }

    /// One token id, a list of ids, or null.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match value {
            Value::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        ids.ok_or_else(|| self.bad(key, "a token id or a list of them", value))
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        self.format(format!("{} is missing", self.name(key)))
    }

    pub(super) fn bad(&self, key: &str, want: impl Display, found: impl Display) -> Error {
        let mut found = found.to_string();
        if found.chars().count() > LONGEST_VALUE {
            found = found.chars().take(LONGEST_VALUE).chain("…".chars()).collect();
        }
        self.format(format!("{}: expected {want}, found {found}", self.name(key)))
    }

    /// An error for a valid feature that this engine does not support.
    pub(super) fn unsupported(&self, key: &str, found: impl Display, hint: &str) -> Error {
        Error::Unsupported { what: format!("{}: {} {found}", self.file.display(), self.name(key)), hint: hint.into() }
    }

    /// The full path of `key`: `text_config.hidden_size`.
    pub(super) fn name(&self, key: &str) -> String {
        if let Some((_, other)) = self.spelling.iter().find(|(own, _)| *own == key) {
            return format!("key {other}");
        }
        let path = self.path.iter().filter(|part| !part.is_empty());
        path.map(|part| format!("{part}.")).chain([key.to_string()]).collect()
    }

    fn format(&self, what: String) -> Error {
        Error::Format { file: self.file.into(), what }
    }
}

/// Maximum length of a bad value in an error message, in characters.
const LONGEST_VALUE: usize = 80;
