//! The text side of a checkpoint: tokenizer, chat template, stop ids and recommended sampling.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use crate::{
    engine::sampler::{Mode, Sampling},
    error::{Error, Result},
    model::checkpoint::Checkpoint,
    text::{
        chat_template::Template,
        metadata::{Metadata, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG},
        stop::Stop,
        tokenizer::Tokenizer,
    },
};

const TEMPLATE: &str = "chat_template.jinja";
const TOKENIZER: &str = "tokenizer.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// The checkpoint's files about text, parsed.
pub struct TextAssets {
    /// Converts text to ids and back.
    pub tokenizer: Tokenizer,
    /// The chat template. `None` if the checkpoint has none.
    pub template: Option<Template>,
    /// The ids that end a text.
    pub stop: Stop,
    /// The checkpoint's recommended sampling, or the model card's if the checkpoint recommends none.
    pub sampling: Sampling,
    /// Where `sampling` comes from.
    pub advice: Advice,
    /// The special tokens, by name. The template sees them too.
    pub special: BTreeMap<String, String>,
}

/// Where recommended sampling comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// The checkpoint's own files or keys.
    Checkpoint,
    /// The model card, since the checkpoint recommends nothing.
    ModelCard,
}

impl TextAssets {
    /// Reads the checkpoint's files about text.
    ///
    /// # Errors
    /// [`Error::Format`] naming the missing or broken file; [`Error::Template`] for a broken chat template.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let files = SideFiles(checkpoint);
        let Some(bytes) = checkpoint.side_file(TOKENIZER)? else {
            let what = "there is none, and without it text cannot be turned into tokens; fetch it with the checkpoint";
            return Err(Error::Format { file: files.path(TOKENIZER), what: what.into() });
        };
        let config = files.json(TOKENIZER_CONFIG)?;
        let map = files.json(SPECIAL_TOKENS_MAP)?;
        let generation = checkpoint.side_file(GENERATION_CONFIG)?;
        let metadata = Metadata::read(config.as_ref(), map.as_ref(), checkpoint.path())?;
        let tokenizer = Tokenizer::with_metadata(&bytes, &files.path(TOKENIZER), &metadata)?;
        let mut stop = Stop::of(&tokenizer);
        stop.ids.extend(&checkpoint.config().eos);
        stop.ids.extend(metadata.special.get("eos_token").and_then(|token| tokenizer.id_of(token)));
        for name in [TOKENIZER_CONFIG, GENERATION_CONFIG] {
            if let Some(json) = files.json(name)? {
                stop.add_from(&json, &files.path(name), &tokenizer)?;
            }
        }
        let file = files.path(GENERATION_CONFIG);
        let advised = generation.map(|bytes| Sampling::from_generation_config(&bytes, &file)).transpose()?;
        let (sampling, advice) = match advised.flatten() {
            Some(sampling) => (sampling, Advice::Checkpoint),
            None => (Sampling::model_card(Mode::Direct), Advice::ModelCard),
        };
        let template = files.template(config.as_ref())?.map(|template| template.with_tokens(&metadata.special));
        Ok(Self { tokenizer, template, stop, sampling, advice, special: metadata.special })
    }

    /// The chat template.
    ///
    /// # Errors
    /// [`Error::Template`] if the checkpoint has no chat template.
    pub fn template(&self) -> Result<&Template> {
        let what = || Error::Template(format!("the checkpoint has none; use `generate`, or add a {TEMPLATE}"));
        self.template.as_ref().ok_or_else(what)
    }
}

/// The small files of a checkpoint, with their names in messages.
struct SideFiles<'a>(&'a Checkpoint);

impl SideFiles<'_> {
    /// The name of a side file in messages. All of those of a GGUF file are keys of that file.
    fn path(&self, name: &str) -> PathBuf {
        if self.0.is_gguf() { self.0.path().to_owned() } else { self.0.path().join(name) }
    }

    fn json(&self, name: &str) -> Result<Option<Value>> {
        let Some(bytes) = self.0.side_file(name)? else { return Ok(None) };
        let broken = |what| Error::Format { file: self.path(name), what };
        let json: Value = serde_json::from_slice(&bytes).map_err(|error| broken(format!("not JSON: {error}")))?;
        if json.is_object() { Ok(Some(json)) } else { Err(broken("no JSON object, which is expected here".into())) }
    }

    /// The chat template: its own file, or else the one in tokenizer_config.json.
    fn template(&self, config: Option<&Value>) -> Result<Option<Template>> {
        let within = |name: &str, error| match error {
            Error::Template(what) => Error::Template(format!("{}: {what}", self.path(name).display())),
            other => other,
        };
        match self.0.side_file(TEMPLATE)? {
            Some(bytes) => {
                let broken = |error| Error::Format { file: self.path(TEMPLATE), what: format!("not UTF-8: {error}") };
                let source = std::str::from_utf8(&bytes).map_err(broken)?;
                Template::new(source).map(Some).map_err(|error| within(TEMPLATE, error))
            }
            None => {
                let read = config.map(Template::from_tokenizer_config).transpose();
                read.map(Option::flatten).map_err(|error| within(TOKENIZER_CONFIG, error))
            }
        }
    }
}
