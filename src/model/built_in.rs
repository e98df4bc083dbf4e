//! The model that the binary carries: small, trained by this project, there without a download.

use std::borrow::Cow;

use crate::{error::Result, model::checkpoint::Checkpoint};

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../models/tiny-stories/", $name))
    };
}

/// What it is called in messages.
pub const NAME: &str = "tiny-stories, the built-in model";

/// The built-in model. See `models/tiny-stories/README.md`.
///
/// # Errors
/// None, unless the build was broken.
pub fn open() -> Result<Checkpoint> {
    Checkpoint::embedded(
        file!("config.json"),
        Cow::Borrowed(file!("model.safetensors").as_slice()),
        &[
            ("tokenizer.json", file!("tokenizer.json")),
            ("tokenizer_config.json", file!("tokenizer_config.json")),
            ("generation_config.json", file!("generation_config.json")),
            ("chat_template.jinja", file!("chat_template.jinja")),
        ],
    )
}
