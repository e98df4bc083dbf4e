//! The built-in model: a small model, trained by this project, inside the binary.

#[cfg(not(built_in_weights))]
use crate::error::Error;
use crate::{error::Result, model::checkpoint::Checkpoint};

/// Its name in messages.
pub const NAME: &str = "tiny-stories, the built-in model";

/// The built-in model. See `models/tiny-stories/README.md`.
///
/// # Errors
/// [`crate::Error::Unsupported`] in a build from the registry's package, which has no room for the weights.
#[cfg(built_in_weights)]
pub fn open() -> Result<Checkpoint> {
    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("../../models/tiny-stories/", $name))
        };
    }
    Checkpoint::embedded(
        file!("config.json"),
        file!("model.safetensors").as_slice(),
        &[
            ("tokenizer.json", file!("tokenizer.json")),
            ("tokenizer_config.json", file!("tokenizer_config.json")),
            ("generation_config.json", file!("generation_config.json")),
            ("chat_template.jinja", file!("chat_template.jinja")),
        ],
    )
}

/// The built-in model, where the build has none.
///
/// # Errors
/// Always [`Error::Unsupported`].
#[cfg(not(built_in_weights))]
pub fn open() -> Result<Checkpoint> {
    let hint =
        "the registry's package has no room for it; name a model, such as Qwen/Qwen3.5-0.8B, or build from a clone";
    Err(Error::Unsupported { what: NAME.into(), hint: hint.into() })
}
