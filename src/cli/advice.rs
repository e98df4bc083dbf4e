//! Errors about command lines: which flag of this program does what was wanted, and which argument is meant.

use std::ffi::OsString;

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Flags that other programs have, and what to do here.
const ADVICE: &[(&[&str], &str)] = &[
    (&["--threads", "--threads-batch", "--num-threads"], "the cpu backend takes all cores by itself"),
    (&["--batch-size", "--ubatch-size", "--prefill-step-size"], "--budget sets the most tokens of a step"),
    (&["--hf-repo", "--repo", "--model-path"], "--model takes OWNER/NAME on the hub, a directory or a GGUF file"),
    (&["--main-gpu", "--tensor-split", "--gpu"], "--device chooses a device; `bimetal devices` lists them"),
    (&["--cache-type-k", "--cache-type-v", "--kv-bits"], "--kv sets the type of keys and values"),
    (
        &["--dtype", "--quantize", "--quantization", "--load-in-4bit", "--load-in-8bit"],
        "--quant q8 or q4 quantizes while loading",
    ),
    (&["--flash-attn"], "attention always works in tiles; there is nothing to turn on"),
    (&["--interactive", "-i", "--conversation", "--cnv", "--interactive-first"], "`bimetal chat` holds a conversation"),
    (&["--no-conversation", "--no-cnv"], "`bimetal generate` continues a text"),
    (&["--reasoning", "--enable-thinking"], "--think lets the model think, --no-think does not"),
    (&["--verbose", "-v"], "RUST_LOG=bimetal=debug tells more"),
    (&["--system", "--system-prompt"], "`bimetal chat --system TEXT` gives the model a system message"),
    (
        &["--chat-template", "--chat-template-file", "--jinja"],
        "the model's own template counts; `bimetal chat` and `bimetal generate --chat` apply it",
    ),
    (&["--mlock", "--mmap", "--no-mmap"], "the weights are always copied to the device; leave it out"),
    (&["--ignore-eos"], "a stop id of the model always ends the text; `bimetal bench` makes a fixed number of tokens"),
    (&["--grammar", "--grammar-file", "--json-schema"], "no grammar can guide the text here"),
    (&["--lora", "--adapter", "--adapter-path"], "merge the adapter into the weights first"),
    (&["--image", "--mmproj"], "only text can be read here"),
    (&["-e", "--escape"], "the prompt is taken as it is; printf in a shell makes a prompt of several lines"),
    (&["-r"], "--stop TEXT ends the text there"),
    (&["--stream"], "text is always written while it is made"),
    (&["--num-ctx", "--ctx-size"], "--context sets the number of tokens, where a command has it"),
    (&["--no-color", "--no-colour"], "--color never"),
];

/// The error with what helps: a fitting tip, the short usage, or the argument that is meant.
pub fn advised(mut error: Error, arguments: &[OsString], program: Command) -> Error {
    match error.kind() {
        ErrorKind::InvalidUtf8 => {
            let what = unreadable(arguments, &program);
            meant(program, arguments).error(ErrorKind::InvalidUtf8, what)
        }
        ErrorKind::UnknownArgument => {
            advise(&mut error, arguments);
            // The usage of clap repeats the flags before the unknown one.
            let usage = meant(program, arguments).render_usage();
            error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
            error
        }
        _ => error,
    }
}

/// Adds a tip to an error about an unknown flag, and takes away one that does not fit.
fn advise(error: &mut Error, arguments: &[OsString]) {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return };
    let command = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default();
    let own = match (command, flag.as_str()) {
        ("bench", "-s") => Some("-s is the seed elsewhere; here it is -S or --sequences"),
        ("perplexity" | "compare", "-t") => Some("-t is the temperature elsewhere; here it is -f or --text"),
        ("perplexity" | "compare", "-s") => Some("-s is the seed elsewhere; here it is --stride"),
        ("quantize", "-f") => Some("-f is a file elsewhere; here it is --format"),
        ("generate", "--think" | "--no-think" | "--hide-thinking" | "--reasoning" | "--enable-thinking") => {
            Some("`bimetal chat` has --think, --no-think and --hide-thinking")
        }
        ("chat" | "run", "--json") => Some("`bimetal generate --chat --json` writes an answer as JSON"),
        ("chat" | "run", "-f" | "--file") => Some("`bimetal generate --chat --file FILE` answers the text of a file"),
        _ => None,
    };
    let known = ADVICE.iter().find(|(names, _)| names.contains(&flag.as_str())).map(|(_, advice)| *advice);
    // What has spaces is a text that begins with a hyphen; for it, the tip about `--` fits.
    let is_text = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument.starts_with(flag.as_str()) && argument.contains(char::is_whitespace)
    };
    if let Some(advice) = own.or(known) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
        error.remove(ContextKind::SuggestedArg);
    } else if !arguments.iter().any(is_text) {
        error.remove(ContextKind::Suggested);
    }
}

/// Names the argument that had to be UTF-8. Paths need not be, so that others may stand before it.
fn unreadable(arguments: &[OsString], program: &Command) -> String {
    let is_meant = |at: usize| {
        let others = arguments.iter().enumerate().map(|(other, argument)| match other == at {
            true => argument.clone(),
            false => argument.to_string_lossy().into_owned().into(),
        });
        let outcome = program.clone().try_get_matches_from(others);
        outcome.is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
    };
    let mut broken = (1..arguments.len()).filter(|at| arguments[*at].to_str().is_none());
    let Some(at) = broken.find(|at| is_meant(*at)) else { return "an argument is not UTF-8".into() };
    let before = arguments[at - 1].to_str().filter(|before| before.starts_with('-'));
    let place = before.map(|flag| format!(" after {flag}")).unwrap_or_default();
    format!("the argument {:?}{place} is not UTF-8", arguments[at])
}

/// The command that a line names, or the program.
fn meant(mut program: Command, arguments: &[OsString]) -> Command {
    program.build();
    let mut command = &program;
    for argument in arguments.iter().skip(1) {
        let Some(below) = command.find_subcommand(argument) else { break };
        command = below;
    }
    command.clone()
}
