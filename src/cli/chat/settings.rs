//! `/set`: the settings of a conversation, by the names of their flags.

use bimetal::{Conversation, GenerationOptions, Sampling};

use crate::cli::{
    sampling::{NUMBERS, field, random_seed, settings},
    values::{Seed, limit, whole},
};

/// All settings, a line each.
pub fn all(options: &GenerationOptions, conversation: &Conversation) -> String {
    let mut list = settings(options);
    let thinking = conversation.options.thinking;
    list.push(("stop", stops(options)));
    list.push(("think", thinking.map_or("auto", |thinks| if thinks { "on" } else { "off" }).into()));
    list.iter().map(|(name, value)| format!("{name:<18} {value}")).collect::<Vec<_>>().join("\n")
}

/// The texts that end an answer, and how to change them.
pub fn stops(options: &GenerationOptions) -> String {
    format!("{:?}; /set stop TEXT adds one, /set stop \"\" removes all", options.stop)
}

/// The text between quotes, as JSON writes it; other texts as they are.
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or(value.into(), |inner| serde_json::from_str(value).unwrap_or_else(|_| inner.into()))
}

/// Changes a setting.
///
/// # Errors
/// What is wrong with the name or the value, and what to do.
pub fn set(
    options: &mut GenerationOptions,
    conversation: &mut Conversation,
    name: &str,
    value: &str,
) -> Result<(), String> {
    let name = name.trim_start_matches('-').replace('_', "-");
    // The other names of the flags, as their `alias` has them.
    let name = match name.as_str() {
        "temp" => "temperature".into(),
        "repeat-penalty" => "repetition-penalty".into(),
        "n-predict" | "num-predict" | "max-new-tokens" => "max-tokens".into(),
        _ => name,
    };
    let invalid = |why: String| format!("/set {name} {value}: {why}");
    if let Some(number) = NUMBERS.iter().find(|number| number.name == name) {
        if let Some(field) = field(&mut options.sampling, number) {
            *field = number.parse(value).map_err(invalid)?;
        }
        if options.sampling.temperature == 0.0 && number.name == "temperature" {
            // The most probable token is wanted, which no penalty may change.
            let Sampling { temperature, top_k, top_p, min_p, seed, .. } = options.sampling;
            options.sampling = Sampling { temperature, top_k, top_p, min_p, seed, ..Sampling::greedy() };
        }
        return Ok(());
    }
    match name.as_str() {
        "top-k" => {
            options.sampling.top_k = whole(0..=u64::from(u32::MAX), "0 keeps all")(value).map_err(invalid)?;
        }
        "seed" => {
            options.sampling.seed = Some(match Seed::parse(value).map_err(invalid)? {
                Seed::Fixed(seed) => seed,
                Seed::Random => random_seed(),
            });
        }
        "max-tokens" => options.max_tokens = limit(value).map_err(invalid)?,
        "stop" => match unquoted(value) {
            text if text.is_empty() => options.stop.clear(),
            text if !options.stop.contains(&text) => options.stop.push(text),
            _ => {}
        },
        "think" => {
            conversation.options.thinking = match value {
                "on" => Some(true),
                "off" => Some(false),
                "auto" => None,
                _ => return Err(invalid("expected on, off, or auto for the template's choice".into())),
            }
        }
        _ => return Err(format!("no setting {name}; /set lists them")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_names_and_ranges_of_flags() {
        let mut options = GenerationOptions {
            sampling: Sampling::greedy(),
            max_tokens: usize::MAX,
            stop: Vec::new(),
            stop_at: Default::default(),
        };
        let mut conversation = Conversation::default();
        let mut set = |name: &str, value: &str| set(&mut options, &mut conversation, name, value);
        for (name, value) in [("temp", "0.5"), ("top_k", "3"), ("--seed", "7"), ("num_predict", "-1"), ("think", "on")]
        {
            assert_eq!(set(name, value), Ok(()), "{name}");
        }
        for stop in ["\"x y\"", "END", "END", "\"\\n\""] {
            assert_eq!(set("stop", stop), Ok(()));
        }
        let warm = "/set temperature warm: expected a number from 0 to 100; 0 always takes the most probable token";
        assert_eq!(set("temperature", "warm"), Err(warm.into()));
        assert_eq!(set("warmth", "1"), Err("no setting warmth; /set lists them".into()));
        assert_eq!(options.stop, ["x y", "END", "\n"]);
        let shown = all(&options, &conversation);
        assert!(shown.starts_with("temperature        0.5\ntop-k              3\n"), "{shown}");
        assert!(shown.contains("seed               7\n") && shown.ends_with("think              on"), "{shown}");
        assert!(shown.contains("/set stop TEXT adds one"), "{shown}");
        assert_eq!(super::set(&mut options, &mut conversation, "stop", "\"\""), Ok(()));
        assert!(options.stop.is_empty());
    }
}
