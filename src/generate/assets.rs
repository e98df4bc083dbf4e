//! The text side of a checkpoint: tokenizer, chat template, stop ids and recommended sampling.

use std::path::Path;

use serde_json::Value;

use crate::{
    engine::sampler::{Mode, Sampling},
    error::{Error, Result},
    model::checkpoint::Checkpoint,
    text::{chat_template::Template, stop::Stop, tokenizer::Tokenizer},
};

const TEMPLATE: &str = "chat_template.jinja";

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
}

impl TextAssets {
    /// Reads the checkpoint's files about text.
    ///
    /// # Errors
    /// [`Error::Format`] naming the missing or broken file; [`Error::Template`] for a broken chat template.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let file = |name: &str| checkpoint.path().join(name);
        let within = |name: &str, error| match error {
            Error::Template(what) => Error::Template(format!("{}: {what}", file(name).display())),
            other => other,
        };
        let Some(bytes) = checkpoint.side_file("tokenizer.json")? else {
            let what = "there is none, and without it text cannot be turned into tokens; fetch it with the checkpoint";
            return Err(Error::Format { file: file("tokenizer.json"), what: what.into() });
        };
        let tokenizer = Tokenizer::from_bytes(&bytes, &file("tokenizer.json"))?;
        let tokenizer_config = json(checkpoint, "tokenizer_config.json")?;
        let template = match checkpoint.side_file(TEMPLATE)? {
            Some(bytes) => {
                Template::new(utf8(&bytes, &file(TEMPLATE))?).map(Some).map_err(|error| within(TEMPLATE, error))
            }
            None => {
                let read = tokenizer_config.as_ref().map(Template::from_tokenizer_config).transpose();
                read.map(Option::flatten).map_err(|error| within("tokenizer_config.json", error))
            }
        }?;
        let mut stop = Stop::of(&tokenizer);
        stop.ids.extend(&checkpoint.config().eos);
        for name in ["generation_config.json", "tokenizer_config.json"] {
            if let Some(value) = json(checkpoint, name)? {
                stop.add_from(&value, &file(name), &tokenizer)?;
            }
        }
        let name = "generation_config.json";
        let advised = checkpoint.side_file(name)?.map(|bytes| Sampling::from_generation_config(&bytes, &file(name)));
        let sampling = advised.transpose()?.flatten().unwrap_or_else(|| Sampling::model_card(Mode::Direct));
        Ok(Self { tokenizer, template, stop, sampling })
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

fn json(checkpoint: &Checkpoint, name: &str) -> Result<Option<Value>> {
    let Some(bytes) = checkpoint.side_file(name)? else { return Ok(None) };
    let broken = |error| Error::Format { file: checkpoint.path().join(name), what: format!("not JSON: {error}") };
    serde_json::from_slice(&bytes).map(Some).map_err(broken)
}

fn utf8<'a>(bytes: &'a [u8], file: &Path) -> Result<&'a str> {
    let broken = |error| Error::Format { file: file.into(), what: format!("not UTF-8: {error}") };
    std::str::from_utf8(bytes).map_err(broken)
}
