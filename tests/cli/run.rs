//! Runs the binary to its end.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::support::{fixtures::fixture, scratch::Scratch};

/// The exit code and outputs of a run.
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary with arguments, without any variable of the tester's environment that it reads.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bimetal"));
    for name in ["RUST_LOG", "XDG_RUNTIME_DIR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let hub = ["HF_", "HUGGING", "TRANSFORMERS_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];
    let is_read =
        |name: &str| hub.iter().any(|hub| name.starts_with(hub)) || name.to_ascii_uppercase().ends_with("_PROXY");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_read(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    // No test may reach the network.
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HOME", fixture("no-such-cache"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs with empty standard input.
pub fn run(arguments: &[&str]) -> Outcome {
    let outcome = finish(&mut command(arguments));
    readable(arguments, &outcome.out);
    outcome
}

/// Checks what a command prints for people and for programs: lines within 100 columns, and no number that means none.
#[track_caller]
pub fn readable(arguments: &[&str], out: &str) {
    /// What these print is a text, a path or a script.
    const OTHERS: [&str; 7] = ["generate", "chat", "run", "pull", "rm", "completions", "man"];
    if arguments.contains(&"--json") {
        let Ok(report) = serde_json::from_str(out) else { return assert_eq!(out, "", "{arguments:?} prints no JSON") };
        existing(&report);
    } else if arguments.first().is_some_and(|command| !OTHERS.contains(command)) {
        let wide: Vec<_> = out.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(wide.is_empty(), "{arguments:?} prints lines above 100 columns: {wide:#?}");
    }
}

/// Checks that no number stands for one that does not exist.
#[track_caller]
pub fn existing(report: &Value) {
    match report {
        Value::Array(values) => values.iter().for_each(existing),
        Value::Object(members) => members.values().for_each(existing),
        // `null` stands for what is not finite, too: JSON has no other way.
        Value::Number(number) => {
            let none = [u64::from(u32::MAX), i64::MAX as u64, u64::MAX].map(|none| none as f64);
            assert!(number.as_f64().is_some_and(|number| !none.contains(&number)), "{number}");
        }
        Value::String(text) => assert!(!["NaN", "inf", "-inf"].contains(&text.as_str()), "{text}"),
        _ => {}
    }
}

/// Runs with a text on standard input.
pub fn pipe(arguments: &[&str], input: &str) -> Outcome {
    let mut child =
        command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_string());
    // The binary may end before it has read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    readable(arguments, &outcome.out);
    outcome
}

pub fn finish(command: &mut Command) -> Outcome {
    Outcome::of(command.output().unwrap())
}

impl Outcome {
    fn of(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let outcome = Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!outcome.err.contains("panicked"), "{}", outcome.err);
        outcome
    }

    /// The lines of standard error, without those with the backend and the settings, which must be the first if
    /// present.
    fn complaint(&self) -> &str {
        ["cpu: ", "temperature "].into_iter().fold(&self.err, |err, begin| match err.split_once('\n') {
            Some((first, rest)) if first.starts_with(begin) => rest,
            _ => err,
        })
    }

    /// Checks that it failed with this message and printed nothing else.
    #[track_caller]
    pub fn refuses(&self, message: &str) {
        assert_eq!(self.complaint(), format!("error: {message}\n"));
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""));
    }

    /// Checks that it rejected its arguments, with this first message.
    #[track_caller]
    pub fn misunderstands(&self, message: &str) {
        let said = self.err.split("\n\n").next().unwrap();
        assert_eq!(said, format!("error: {message}"));
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""));
    }

    /// Checks that it succeeded; returns standard output.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }
}

/// A complete checkpoint with a tokenizer and a template, for tests to break.
pub fn checkpoint() -> Scratch {
    let scratch = Scratch::tied();
    scratch.write("tokenizer.json", built_in("tokenizer.json"));
    scratch
}

/// A file of the built-in model.
pub fn built_in(name: &str) -> Vec<u8> {
    std::fs::read(fixture("../../models/tiny-stories").join(name)).unwrap()
}

impl Scratch {
    /// Runs with this checkpoint for `--model`, on the cpu backend.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.pipe(arguments, "")
    }

    pub fn pipe(&self, arguments: &[&str], input: &str) -> Outcome {
        let dir = self.0.to_str().unwrap();
        let mut outcome = pipe(&[arguments, &["--backend", "cpu", "--model", dir]].concat(), input);
        outcome.err = outcome.err.replace(dir, "DIR");
        outcome
    }

    /// Continues a letter.
    pub fn generate(&self) -> Outcome {
        self.run(&["generate", "a", "-n", "2"])
    }
}

/// The number of host threads that the cpu backend uses.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A shell that runs the binary with arguments and redirections.
#[cfg(unix)]
pub fn shell(line: &str, arguments: &[&str]) -> Outcome {
    let mut whole = Command::new("sh");
    let inner = command(arguments);
    whole.args(["-c", line, "sh"]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    finish(whole.stdin(Stdio::null()))
}
