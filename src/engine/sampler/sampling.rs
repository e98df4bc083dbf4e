//! What a request may say about sampling, and where its defaults come from.

use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

/// How a token is chosen.
///
/// The order is Hugging Face's: penalties, temperature, top-k, top-p, min-p, draw. vLLM differs in cutting by min-p
/// before top-k and top-p. llama.cpp differs more: it applies the temperature last, so that its top-p and min-p look at
/// the model's own distribution, and it counts penalties over the last 64 tokens only. With temperature 1, the
/// default of this family, all three orders keep nearly the same tokens.
///
/// A cut by top-k leaves exactly that many tokens, equal logits being told apart by their ids (Hugging Face and vLLM
/// keep all that equal the last).
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits: below 1 safer, above 1 wilder. 0 always takes the largest. 0 to 100.
    pub temperature: f32,
    /// Keeps this many of the largest logits; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest tokens that hold this share of the probability. Above 0, at most 1 (off).
    pub top_p: f32,
    /// Keeps tokens at least this probable, as a share of the most probable one. 0 (off) to 1.
    pub min_p: f32,
    /// Divides positive logits and multiplies negative ones, for tokens of the prompt and generated ones. Above 0, at
    /// most 10; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token already generated. -2 to 2; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit once for each time it was generated. -2 to 2; 0 is off.
    pub frequency_penalty: f32,
    /// The same seed gives the same text for the same request on one backend; none gives another text each time.
    pub seed: Option<u64>,
}

/// What the model card distinguishes in its advice on sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The answer follows at once.
    Direct,
    /// The model thinks before it answers.
    Thinking,
}

impl Sampling {
    /// Always the largest logit.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::plain() }
    }

    /// What the Qwen3.5 model card recommends for text. The presence penalty keeps the small models from looping.
    pub fn model_card(mode: Mode) -> Sampling {
        let (top_p, presence_penalty) = match mode {
            Mode::Direct => (1.0, 2.0),
            Mode::Thinking => (0.95, 1.5),
        };
        Sampling { top_k: 20, top_p, presence_penalty, ..Sampling::plain() }
    }

    /// The model's own distribution: nothing cut, nothing changed.
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

    /// What a checkpoint's generation_config.json recommends; `None` where it says nothing about sampling, which
    /// leaves [`Sampling::model_card`].
    ///
    /// `do_sample: false` is greedy. Of a file that names some values, those it does not name are off, as in vLLM
    /// (transformers would take top-k 50).
    ///
    /// # Errors
    /// [`Error::Format`] where it is not JSON, or a value has another type or is out of range.
    pub fn from_generation_config(bytes: &[u8], file: &Path) -> Result<Option<Sampling>> {
        let format = |what: String| Error::Format { file: file.to_owned(), what };
        let json: Value = serde_json::from_slice(bytes).map_err(|error| format(format!("not JSON: {error}")))?;
        if json.get("do_sample") == Some(&Value::Bool(false)) {
            return Ok(Some(Sampling::greedy()));
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
            let number = value.as_i64().ok_or_else(|| format(format!("top_k is {value}, expected a whole number")))?;
            // -1 is vLLM's word for off.
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

    /// Refuses values out of range, NaN among them, naming the field.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub fn validate(&self) -> Result<()> {
        // NaN is in no range.
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
            Some((name, value, _, allowed)) => Err(Error::Request(format!("{name} is {value}, allowed is {allowed}"))),
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

    /// The logit of a token of the prompt (`count` 0) or generated `count` times.
    pub(super) fn penalised(&self, logit: f32, count: u32) -> f32 {
        let scaled = if logit > 0.0 { logit / self.repetition_penalty } else { logit * self.repetition_penalty };
        let presence = if count > 0 { self.presence_penalty } else { 0.0 };
        scaled - presence - self.frequency_penalty * count as f32
    }
}
