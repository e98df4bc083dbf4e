//! The sampling options of a request, and their defaults.

use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

/// How the next token is chosen.
///
/// The order is Hugging Face's: penalties, temperature, top-k, top-p, min-p, random draw. vLLM differs: it applies
/// min-p before top-k and top-p. llama.cpp differs more. It applies the temperature last, so its top-p and min-p see
/// the unscaled distribution; and its penalties count only the last 64 tokens. With temperature 1, the default of this
/// family, all three orders keep nearly the same tokens.
///
/// Top-k keeps exactly k tokens; among equal logits the lower ids win. (Hugging Face and vLLM keep all tokens equal to
/// the k-th.)
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits, 0 to 100: below 1 is less random, above 1 more. 0 always takes the largest logit.
    pub temperature: f32,
    /// Keeps this many tokens with the largest logits; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest tokens whose probabilities sum to at least this. Above 0, at most 1 (off).
    pub top_p: f32,
    /// Keeps tokens with at least this share of the largest probability. 0 (off) to 1.
    pub min_p: f32,
    /// Divides positive logits and multiplies negative ones, for tokens in the prompt or the answer. Above 0, at most
    /// 10; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token in the answer. -2 to 2; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit once per occurrence in the answer. -2 to 2; 0 is off.
    pub frequency_penalty: f32,
    /// The same seed gives the same text for the same request on one backend; `None` takes a random seed.
    pub seed: Option<u64>,
}

/// The two cases of the model card's advice on sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The model answers at once.
    Direct,
    /// The model thinks before it answers.
    Thinking,
}

/// A number for messages: one of more than seven digits has an exponent.
fn written(value: f32) -> String {
    let plain = 1e-6..1e7;
    if value == 0.0 || plain.contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

impl Sampling {
    /// Always takes the largest logit.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::plain() }
    }

    /// The model card's advice for Qwen3.5 text. The presence penalty keeps small models from looping.
    pub fn model_card(mode: Mode) -> Sampling {
        let (top_p, presence_penalty) = match mode {
            Mode::Direct => (1.0, 2.0),
            Mode::Thinking => (0.95, 1.5),
        };
        Sampling { top_k: 20, top_p, presence_penalty, ..Sampling::plain() }
    }

    /// The model's own distribution, unchanged.
    pub fn plain() -> Sampling {
        Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
        }
    }

    /// The sampling that a checkpoint's generation_config.json recommends. `None` if it has no sampling values; then
    /// use [`Sampling::model_card`].
    ///
    /// `do_sample: false` means greedy. If the file sets only some values, the others are off, as in vLLM (transformers
    /// defaults to top-k 50).
    ///
    /// # Errors
    /// [`Error::Format`] if the file is not JSON, or a value has a wrong type or is out of range.
    pub fn from_generation_config(bytes: &[u8], file: &Path) -> Result<Option<Sampling>> {
        let format = |what: String| Error::Format { file: file.to_owned(), what };
        let json: Value = serde_json::from_slice(bytes).map_err(|error| format(format!("not JSON: {error}")))?;
        match json.get("do_sample") {
            Some(Value::Bool(false)) => return Ok(Some(Sampling::greedy())),
            None | Some(Value::Bool(true) | Value::Null) => {}
            Some(other) => return Err(format(format!("do_sample is {other}, expected true or false"))),
        }
        let mut sampling = Sampling::plain();
        let mut named = false;
        for (name, field) in sampling.numbers() {
            if let Some(value) = json.get(name).filter(|value| !value.is_null()) {
                let number = value.as_f64().ok_or_else(|| format(format!("{name} is {value}, expected a number")))?;
                *field = number as f32;
                named = true;
            }
        }
        if let Some(value) = json.get("top_k").filter(|value| !value.is_null()) {
            // -1 means off in vLLM.
            let number = value.as_i64().filter(|number| *number >= -1);
            let number =
                number.ok_or_else(|| format(format!("top_k is {value}, expected a whole number from 0 up")))?;
            sampling.top_k = usize::try_from(number.max(0)).unwrap_or(usize::MAX);
            named = true;
        }
        sampling.validate().map_err(|error| format(error.to_string()))?;
        Ok(named.then_some(sampling))
    }

    fn numbers(&mut self) -> [(&'static str, &mut f32); 6] {
        [
            ("temperature", &mut self.temperature),
            ("top_p", &mut self.top_p),
            ("min_p", &mut self.min_p),
            ("repetition_penalty", &mut self.repetition_penalty),
            ("presence_penalty", &mut self.presence_penalty),
            ("frequency_penalty", &mut self.frequency_penalty),
        ]
    }

    /// Rejects values out of range, including NaN, and names the field.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub fn validate(&self) -> Result<()> {
        // No range contains NaN.
        let from = |value: f32, low: f32, high: f32| (low..=high).contains(&value);
        let above_zero = |value: f32, high: f32| value > 0.0 && value <= high;
        let checks = [
            ("temperature", self.temperature, from(self.temperature, 0.0, 100.0), "0 to 100"),
            ("top_p", self.top_p, above_zero(self.top_p, 1.0), "above 0, at most 1"),
            ("min_p", self.min_p, from(self.min_p, 0.0, 1.0), "0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                above_zero(self.repetition_penalty, 10.0),
                "above 0, at most 10",
            ),
            ("presence_penalty", self.presence_penalty, from(self.presence_penalty, -2.0, 2.0), "-2 to 2"),
            ("frequency_penalty", self.frequency_penalty, from(self.frequency_penalty, -2.0, 2.0), "-2 to 2"),
        ];
        match checks.iter().find(|(_, _, fits, _)| !fits) {
            Some((name, value, _, allowed)) => {
                Err(Error::Request(format!("{name} is {}, allowed is {allowed}", written(*value))))
            }
            None => Ok(()),
        }
    }

    pub(super) fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    pub(super) fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }

    pub(super) fn penalties_only_lower(&self) -> bool {
        self.repetition_penalty >= 1.0 && self.presence_penalty >= 0.0 && self.frequency_penalty >= 0.0
    }

    /// The penalized logit of a token that is in the prompt (`count` 0) or was generated `count` times.
    pub(super) fn penalised(&self, logit: f32, count: u32) -> f32 {
        let scaled = if logit > 0.0 { logit / self.repetition_penalty } else { logit * self.repetition_penalty };
        let presence = if count > 0 { self.presence_penalty } else { 0.0 };
        scaled - presence - self.frequency_penalty * count as f32
    }
}
