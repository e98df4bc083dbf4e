//! Sampling flags, which override the checkpoint's recommendation.

use bimetal::{
    GenerationOptions, Result, Sampling,
    low_level::generate::{Advice, StopAt},
};
use clap::{Args, builder::NonEmptyStringValueParser};

/// Sampling flags. Missing values come from the checkpoint's generation_config.json, or from the model card's advice.
#[derive(Args)]
#[command(next_help_heading = "Sampling", allow_negative_numbers = true)]
pub struct SamplingArguments {
    /// Divides the logits; 0 always takes the most probable token
    #[arg(short, long)]
    temperature: Option<f32>,
    /// Keep this many of the most probable tokens; 0 keeps all
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..))]
    top_k: Option<u32>,
    /// Keep the fewest most probable tokens whose probabilities sum to this
    #[arg(long)]
    top_p: Option<f32>,
    /// Keep tokens with at least this share of the largest probability
    #[arg(long)]
    min_p: Option<f32>,
    /// Divides the logits of tokens in the prompt or the answer
    #[arg(long)]
    repetition_penalty: Option<f32>,
    /// Subtracted from the logits of tokens in the answer
    #[arg(long)]
    presence_penalty: Option<f32>,
    /// Subtracted once per occurrence of a token in the answer
    #[arg(long)]
    frequency_penalty: Option<f32>,
    /// The same seed gives the same text
    #[arg(short, long)]
    seed: Option<u64>,
    /// Maximum tokens to generate
    #[arg(short = 'n', long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// A string that ends the text; repeatable
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    stop: Vec<String>,
}

impl SamplingArguments {
    /// Rejects values that are invalid with any checkpoint, before one is loaded.
    ///
    /// # Errors
    /// [`bimetal::Error::Request`] with the value and the allowed range.
    pub fn check(&self) -> Result<()> {
        let (sampling, max_tokens) = (Sampling::plain(), usize::MAX);
        let plain = GenerationOptions { sampling, max_tokens, stop: Vec::new(), stop_at: StopAt::StopId };
        self.options(plain, Advice::Checkpoint).sampling.validate()
    }

    /// The checkpoint's options, changed by the flags. Temperature 0 takes the most probable token, so the penalties of
    /// a model card do not count then; those of a checkpoint do.
    pub fn options(&self, checkpoint: GenerationOptions, advice: Advice) -> GenerationOptions {
        let Sampling { seed, .. } = checkpoint.sampling;
        let from = match advice {
            Advice::ModelCard if self.temperature == Some(0.0) => Sampling::greedy(),
            _ => checkpoint.sampling,
        };
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(from.temperature),
            top_k: self.top_k.map_or(from.top_k, |top_k| top_k as usize),
            top_p: self.top_p.unwrap_or(from.top_p),
            min_p: self.min_p.unwrap_or(from.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(from.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(from.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(from.frequency_penalty),
            seed: self.seed.or(seed),
        };
        let max_tokens = self.max_tokens.map_or(checkpoint.max_tokens, |tokens| tokens as usize);
        GenerationOptions { sampling, max_tokens, stop: self.stop.clone(), ..checkpoint }
    }
}
