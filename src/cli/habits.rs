//! Command lines as other programs take them: what can be translated is, and the rest is answered with the right flag.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use bimetal::low_level::hub::RepoSpec;

/// Commands that take the flags of other programs.
const COMMANDS: [&str; 3] = ["generate", "chat", "run"];

/// Commands whose model has no flag.
const WITHOUT_FLAG: [&str; 5] = ["pull", "download", "rm", "remove", "quantize"];

/// Names with one hyphen and several letters, which would be cut into letters, and their long names.
const CLUSTERS: [(&str, &str); 9] = [
    ("-cnv", "--conversation"),
    ("-no-cnv", "--no-conversation"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-fa", "--flash-attn"),
    ("-sys", "--system-prompt"),
    ("-hf", "--hf"),
    ("-hfr", "--hf"),
    ("-ub", "--ubatch-size"),
];

/// Translates a command line. Returns it with notes for the user.
pub fn translate(arguments: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let mut notes = Vec::new();
    let mut rest = arguments.into_iter();
    let mut translated: Vec<_> = rest.by_ref().take(2).collect();
    let command = translated.get(1).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let takes_flags = COMMANDS.contains(&command.as_str());
    let words = named(rest);
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
            "-ngl" | "--n-gpu-layers" | "--gpu-layers" if takes_flags => {
                let value = value.map(OsString::from).or_else(|| rest.next()).unwrap_or_default();
                if value == "0" {
                    notes.push(format!("{name} 0: taken as --backend cpu"));
                    translated.extend(["--backend", "cpu"].map(OsString::from));
                } else {
                    notes
                        .push(format!("{name}: not needed, all layers are on the device (see --backend and --device)"));
                }
            }
            "--hf" => {
                if !WITHOUT_FLAG.contains(&command.as_str()) {
                    translated.push("--model".into());
                }
                translated.extend(value.map(OsString::from));
            }
            "--no-conversation" if command == "generate" => notes.push(format!("{name}: not needed in generate")),
            "--conversation" if takes_flags && command != "generate" => {
                notes.push(format!("{name}: not needed in {command}"));
            }
            "--system-prompt" if takes_flags && command != "generate" => {
                translated.push("--system".into());
                translated.extend(value.map(OsString::from));
            }
            _ => translated.push(argument),
        }
    }
    (translated, notes)
}

/// The words of a line up to `--`, with the names of flags in the spelling of this program.
fn named(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_text = false;
    let name = |word: OsString| {
        is_text |= word == "--";
        if is_text { word } else { renamed(&word).unwrap_or(word) }
    };
    words.map(name).collect()
}

/// The long name of a cluster, or a long name without underscores, which no flag here has.
fn renamed(word: &OsStr) -> Option<OsString> {
    let word = word.to_str()?;
    if let Some((_, long)) = CLUSTERS.iter().find(|(cluster, _)| *cluster == word) {
        return Some(long.into());
    }
    let (name, value) = split(word);
    // A text may begin with two hyphens, too.
    if !name.starts_with("--") || !name.contains('_') || name.contains(char::is_whitespace) {
        return None;
    }
    let name = name.replace('_', "-");
    Some(value.map_or(name.clone(), |value| format!("{name}={value}")).into())
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
            (
                "bimetal generate --ctx_size=64 --a_b=c_d -- --e_f",
                "bimetal generate --ctx-size=64 --a-b=c_d -- --e_f",
                0,
            ),
            ("bimetal info --max_context 64", "bimetal info --max-context 64", 0),
            ("bimetal generate -no-cnv -fa on", "bimetal generate --flash-attn on", 1),
            ("bimetal chat -cnv -ctk q8_0", "bimetal chat --cache-type-k q8_0", 1),
            ("bimetal bench -hf a/b -cnv", "bimetal bench --model a/b --conversation", 0),
            ("bimetal pull -hf a/b", "bimetal pull a/b", 0),
        ];
        for (line, want, count) in cases {
            let (translated, notes) = translate(words(line));
            assert_eq!((translated, notes.len()), (words(want), count), "{line}");
        }
    }
}
