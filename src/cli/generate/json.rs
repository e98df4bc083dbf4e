//! A text as one JSON object.

use bimetal::{GenerationOptions, Generator, Result, low_level::generate::EndReason};
use serde_json::{Value, json};

use super::Answer;
use crate::cli::sampling;

impl Answer {
    /// The text, its tokens, why it ended, and how it came about.
    pub fn as_json(
        &self,
        generator: &Generator,
        model: &str,
        prompt: &str,
        options: &GenerationOptions,
    ) -> Result<Value> {
        let (engine, timing) = (generator.engine(), &self.timing);
        let caps = engine.model().backend.caps();
        let (reason, stop) = match &self.reason {
            Some(EndReason::StopId(id)) => ("stop_id", json!(id)),
            Some(EndReason::StopString(string)) => ("stop_string", json!(string)),
            Some(EndReason::MaxTokens) => ("max_tokens", Value::Null),
            Some(EndReason::ContextFull) => ("context", Value::Null),
            None => ("interrupted", Value::Null),
        };
        // The stop id is no part of the text.
        let stop_ids = usize::from(reason == "stop_id");
        let timings = json!({
            "prompt_tokens": timing.prompt, "tokens": timing.generated, "first_token_seconds": timing.first.as_secs_f64(),
            "later_tokens_seconds": timing.rest.as_secs_f64(), "prefill_tokens_per_second": timing.prefill(),
            "decode_tokens_per_second": (timing.generated > 1).then(|| timing.decode()),
        });
        Ok(json!({
            "model": model, "backend": caps.backend, "device": caps.device, "prompt": prompt, "text": self.text,
            "prompt_ids": generator.text.tokenizer.encode(prompt)?,
            "ids": self.tokens[..self.tokens.len() - stop_ids], "stop_reason": reason, "stop": stop,
            "seed": options.sampling.seed, "settings": sampling::as_json(options, engine.plan().context),
            "timings": timings, "memory_bytes": engine.memory(),
        }))
    }
}
