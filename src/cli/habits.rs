//! Command lines as other programs take them: what can be translated is, and the rest is answered with the right flag.

use std::{ffi::OsString, path::Path};

use bimetal::low_level::hub::RepoSpec;
use clap::error::{ContextKind, ContextValue};

/// Commands that take the flags of other programs.
const COMMANDS: [&str; 3] = ["generate", "chat", "run"];

/// Flags that other programs have, and what to do here.
const ADVICE: &[(&[&str], &str)] = &[
    (&["--threads", "--threads-batch", "--num-threads"], "the cpu backend takes all cores by itself"),
    (&["--batch-size", "--ubatch-size", "--prefill-step-size"], "--budget sets the most tokens of a step"),
    (
        &["--hf-repo", "--hf", "--repo", "--model-path"],
        "--model takes OWNER/NAME on the hub, a directory or a GGUF file",
    ),
    (&["--main-gpu", "--tensor-split", "--gpu"], "--device chooses a device; `bimetal devices` lists them"),
    (&["--cache-type-k", "--cache-type-v", "--kv-bits"], "--kv sets the type of keys and values"),
    (
        &["--dtype", "--quantize", "--quantization", "--load-in-4bit", "--load-in-8bit"],
        "--quant q8 or q4 quantizes while loading",
    ),
    (&["--flash-attn"], "attention always works in tiles; there is nothing to turn on"),
    (&["--interactive", "--conversation", "--cnv", "--interactive-first"], "`bimetal chat` holds a conversation"),
    (&["--no-conversation", "--no-cnv"], "`bimetal generate` continues a text"),
    (&["--reasoning", "--enable-thinking"], "--think lets the model think, --no-think does not"),
    (&["--verbose", "-v"], "RUST_LOG=bimetal=debug tells more"),
    (&["--no-color", "--no-colour"], "--color never"),
];

/// Translates a command line. Returns it with notes for the user.
pub fn translate(arguments: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let mut notes = Vec::new();
    let mut rest = arguments.into_iter();
    let mut translated: Vec<_> = rest.by_ref().take(2).collect();
    let command = translated.get(1).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    if !COMMANDS.contains(&command.as_str()) {
        translated.extend(rest);
        return (translated, notes);
    }
    let words: Vec<OsString> = rest.collect();
    if command == "run" && begins_with_model(&words) {
        translated.push("--model".into());
    }
    let mut rest = words.into_iter();
    while let Some(argument) = rest.next() {
        let (name, value) = split(argument.to_str().unwrap_or_default());
        match name {
            "--" => {
                translated.push(argument);
                translated.extend(rest.by_ref());
            }
            "-ngl" | "--n-gpu-layers" | "--gpu-layers" => {
                let value = value.map(OsString::from).or_else(|| rest.next()).unwrap_or_default();
                if value == "0" {
                    notes.push(format!("{name} 0: taken as --backend cpu"));
                    translated.extend(["--backend", "cpu"].map(OsString::from));
                } else {
                    notes
                        .push(format!("{name}: not needed, all layers are on the device (see --backend and --device)"));
                }
            }
            "-hf" | "-hfr" => {
                translated.push("--model".into());
            }
            "-sys" | "--system-prompt" if command != "generate" => {
                translated.push("--system".into());
                translated.extend(value.map(OsString::from));
            }
            _ => translated.push(argument),
        }
    }
    (translated, notes)
}

fn split(argument: &str) -> (&str, Option<&str>) {
    match argument.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value)),
        _ => (argument, None),
    }
}

/// Whether the first word after `run` is a model, as ollama has it, and not a question. Of two words, it is.
fn begins_with_model(words: &[OsString]) -> bool {
    let word = |at: usize| words.get(at).and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'));
    let Some(first) = word(0).filter(|first| !first.contains(char::is_whitespace)) else { return false };
    word(1).is_some() || Path::new(first).exists() || RepoSpec::parse(first).is_some()
}

/// Adds to an error about an unknown flag which flag of this program does it.
pub fn advise(error: &mut clap::Error, arguments: &[OsString]) {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return };
    let command = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default();
    let own = match (command, flag.as_str()) {
        ("bench", "-s") => Some("-s is the seed elsewhere; here it is -S or --sequences"),
        ("perplexity" | "compare", "-t") => Some("-t is the temperature elsewhere; here it is -f or --text"),
        ("perplexity" | "compare", "-s") => Some("-s is the seed elsewhere; here it is --stride"),
        ("quantize", "-f") => Some("-f is a file elsewhere; here it is --format"),
        _ => None,
    };
    let known = ADVICE.iter().find(|(names, _)| names.contains(&flag.as_str())).map(|(_, advice)| *advice);
    if let Some(advice) = own.or(known) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
        error.remove(ContextKind::SuggestedArg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn flags_of_other_programs_are_translated() {
        let cases = [
            ("bimetal generate -ngl 99 Once", "bimetal generate Once", 1),
            ("bimetal chat --n-gpu-layers=0", "bimetal chat --backend cpu", 1),
            ("bimetal generate -- -ngl 99", "bimetal generate -- -ngl 99", 0),
            ("bimetal run owner/name hello", "bimetal run --model owner/name hello", 0),
            ("bimetal run hello", "bimetal run hello", 0),
            ("bimetal run story:8m hello", "bimetal run --model story:8m hello", 0),
            ("bimetal run hello -n 4", "bimetal run hello -n 4", 0),
            ("bimetal chat -hf owner/name -sys x", "bimetal chat --model owner/name --system x", 0),
            ("bimetal bench -ngl 99", "bimetal bench -ngl 99", 0),
            ("bimetal", "bimetal", 0),
        ];
        for (line, want, count) in cases {
            let (translated, notes) = translate(words(line));
            assert_eq!((translated, notes.len()), (words(want), count), "{line}");
        }
    }
}
