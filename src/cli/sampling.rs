//! Sampling flags, which override the checkpoint's recommendation.

use bimetal::{GenerationOptions, Sampling};
use clap::{Args, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value, json};

use super::figures::count;
use super::values::{Number, Seed, limit, whole, written};

/// The numbers with a fraction, by flag.
pub const NUMBERS: [&Number; 6] =
    [&TEMPERATURE, &TOP_P, &MIN_P, &REPETITION_PENALTY, &PRESENCE_PENALTY, &FREQUENCY_PENALTY];

const TEMPERATURE: Number =
    Number { name: "temperature", low: 0.0, high: 100.0, above: false, hint: "0 always takes the most probable token" };
const TOP_P: Number = Number { name: "top-p", low: 0.0, high: 1.0, above: true, hint: "1 keeps all tokens" };
const MIN_P: Number = Number { name: "min-p", low: 0.0, high: 1.0, above: false, hint: "0 keeps all tokens" };
const REPETITION_PENALTY: Number =
    Number { name: "repetition-penalty", low: 0.0, high: 10.0, above: true, hint: "1 is no penalty" };
const PRESENCE_PENALTY: Number =
    Number { name: "presence-penalty", low: -2.0, high: 2.0, above: false, hint: "0 is no penalty" };
const FREQUENCY_PENALTY: Number =
    Number { name: "frequency-penalty", low: -2.0, high: 2.0, above: false, hint: "0 is no penalty" };

/// Sampling flags. Missing values come from the checkpoint's generation_config.json, or from the model card's advice.
#[derive(Args)]
#[command(next_help_heading = "Sampling", allow_negative_numbers = true)]
pub struct SamplingArguments {
    /// Divides the logits; 0 always takes the most probable token [default: the model's, or else 1]
    #[arg(short, long, alias = "temp", value_name = "NUMBER", value_parser = |text: &str| TEMPERATURE.parse(text))]
    temperature: Option<f32>,
    /// Keep this many of the most probable tokens; 0 keeps all [default: the model's, or else 20]
    #[arg(long, value_name = "TOKENS", value_parser = whole::<u32>(0..=u64::from(u32::MAX), "0 keeps all"))]
    top_k: Option<u32>,
    /// Keep the fewest most probable tokens whose probabilities sum to this [default: the model's, or else 1]
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| TOP_P.parse(text))]
    top_p: Option<f32>,
    /// Keep tokens with at least this share of the largest probability [default: the model's, or else 0]
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| MIN_P.parse(text))]
    min_p: Option<f32>,
    /// Divides the logits of tokens in the prompt or the answer [default: the model's, or else 1]
    #[arg(long, alias = "repeat-penalty", value_name = "NUMBER", value_parser = |text: &str| REPETITION_PENALTY.parse(text))]
    repetition_penalty: Option<f32>,
    /// Subtracted from the logits of tokens in the answer [default: the model's, or else 2; 0 with -t 0]
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| PRESENCE_PENALTY.parse(text))]
    presence_penalty: Option<f32>,
    /// Subtracted once per occurrence of a token in the answer [default: the model's, or else 0]
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| FREQUENCY_PENALTY.parse(text))]
    frequency_penalty: Option<f32>,
    /// The same seed gives the same text; -1 is another one each time [default: -1]
    #[arg(short, long, value_parser = Seed::parse)]
    seed: Option<Seed>,
    /// Maximum tokens to generate; -1 is no limit but the context [default: -1]
    #[arg(short = 'n', long, value_name = "TOKENS", aliases = ["n-predict", "predict", "max-new-tokens", "num-predict"], value_parser = limit)]
    max_tokens: Option<usize>,
    /// A string that ends the text; repeatable
    #[arg(long, alias = "reverse-prompt", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    stop: Vec<String>,
}

impl SamplingArguments {
    /// The checkpoint's options, changed by the flags. The seed is always known, so that it can be told.
    pub fn options(&self, checkpoint: GenerationOptions) -> GenerationOptions {
        let from = match self.temperature {
            // The most probable token is wanted, so that only penalties that are asked for may change it.
            Some(0.0) => Sampling { seed: checkpoint.sampling.seed, ..Sampling::greedy() },
            _ => checkpoint.sampling,
        };
        let seed = match self.seed {
            Some(Seed::Fixed(seed)) => seed,
            Some(Seed::Random) => random_seed(),
            None => from.seed.unwrap_or_else(random_seed),
        };
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(from.temperature),
            top_k: self.top_k.map_or(from.top_k, |top_k| top_k as usize),
            top_p: self.top_p.unwrap_or(from.top_p),
            min_p: self.min_p.unwrap_or(from.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(from.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(from.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(from.frequency_penalty),
            seed: Some(seed),
        };
        let max_tokens = self.max_tokens.unwrap_or(checkpoint.max_tokens);
        GenerationOptions { sampling, max_tokens, stop: self.stop.clone(), ..checkpoint }
    }
}

/// A seed that can be typed again: at most ten digits.
pub fn random_seed() -> u64 {
    getrandom::u32().map_or_else(|_| u64::from(std::process::id()), u64::from)
}

/// The field of a number's flag.
pub fn field<'a>(sampling: &'a mut Sampling, number: &Number) -> Option<&'a mut f32> {
    Some(match number.name {
        "temperature" => &mut sampling.temperature,
        "top-p" => &mut sampling.top_p,
        "min-p" => &mut sampling.min_p,
        "repetition-penalty" => &mut sampling.repetition_penalty,
        "presence-penalty" => &mut sampling.presence_penalty,
        "frequency-penalty" => &mut sampling.frequency_penalty,
        _ => return None,
    })
}

/// The settings in effect, as pairs of a flag and its value.
pub fn settings(options: &GenerationOptions) -> Vec<(&'static str, String)> {
    let mut sampling = options.sampling.clone();
    let mut list: Vec<_> =
        NUMBERS.iter().filter_map(|number| Some((number.name, written(*field(&mut sampling, number)?)))).collect();
    list.insert(1, ("top-k", sampling.top_k.to_string()));
    list.push(("seed", sampling.seed.map_or("random".into(), |seed| seed.to_string())));
    let limit = (options.max_tokens != usize::MAX).then(|| options.max_tokens.to_string());
    list.push(("max-tokens", limit.unwrap_or_else(|| "-1".into())));
    list
}

/// One line with the settings that change something, and the context.
pub fn described(options: &GenerationOptions, context: u32) -> String {
    let changes = |(name, value): &(&str, String)| match *name {
        "temperature" => true,
        "seed" => options.sampling.temperature > 0.0,
        "max-tokens" => options.max_tokens != usize::MAX,
        "top-p" | "repetition-penalty" => value != "1",
        _ => value != "0",
    };
    let told = settings(options).into_iter().filter(changes).map(|(name, value)| format!("{name} {value}"));
    format!("{}, context {}", told.collect::<Vec<_>>().join(", "), count(context))
}

/// The settings in effect as JSON.
pub fn as_json(options: &GenerationOptions, context: u32) -> Value {
    let mut sampling = options.sampling.clone();
    // A fraction of 32 bits, with the digits that a user would type.
    let short = |number: f32| number.to_string().parse::<f64>().map_or(Value::Null, Value::from);
    let numbers = NUMBERS.iter().filter_map(|number| {
        let value = field(&mut sampling, number)?;
        Some((number.name.replace('-', "_"), short(*value)))
    });
    let mut settings: Map<_, _> = numbers.collect();
    let limit = (options.max_tokens != usize::MAX).then_some(options.max_tokens);
    let others =
        json!({ "top_k": options.sampling.top_k, "max_tokens": limit, "stop": options.stop, "context": context });
    settings.extend(others.as_object().cloned().unwrap_or_default());
    settings.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_field() {
        let mut sampling = Sampling::plain();
        assert!(NUMBERS.iter().all(|number| field(&mut sampling, number).is_some()));
    }

    #[test]
    fn only_settings_with_an_effect_are_told() {
        let options = |sampling, max_tokens| GenerationOptions {
            sampling,
            max_tokens,
            stop: Vec::new(),
            stop_at: Default::default(),
        };
        assert_eq!(described(&options(Sampling::greedy(), usize::MAX), 4096), "temperature 0, context 4,096");
        let sampling = Sampling { temperature: 0.7, top_k: 20, seed: Some(1), ..Sampling::plain() };
        let told = described(&options(sampling, 1), 64);
        assert_eq!(told, "temperature 0.7, top-k 20, seed 1, max-tokens 1, context 64");
    }
}
