//! Standard streams that are closed, full, or not text.

use std::{
    io::{Read, Write, pipe},
    process::Stdio,
};

use crate::run::{command, finish, run};

/// Every command that prints, with little work.
const PRINTING: [&[&str]; 14] = [
    &["generate", "--backend", "cpu", "Once", "-n", "4"],
    &["perplexity", "--backend", "cpu", "--text", "tests/fixtures/excerpt.txt", "--ids", "17"],
    &["compare", "--against", "q8", "--backend", "cpu", "--text", "tests/fixtures/excerpt.txt", "--ids", "17"],
    &["devices"],
    &["devices", "--json"],
    &["info"],
    &["bench", "--backend", "cpu", "-p", "1", "-n", "0", "-r", "1"],
    &["bench", "--backend", "cpu", "--plan", "--budget", "65"],
    &["bench", "--backend", "cpu", "--profile", "--budget", "65", "-r", "1"],
    &["bench", "kernel", "rms_norm", "--backend", "cpu", "--cold", "1", "-r", "1", "--budget", "65"],
    &["bench", "growth", "--backend", "cpu", "--contexts", "16", "-S", "1", "-d", "1", "-n", "1", "-r", "1"],
    &["completions", "bash"],
    &["man"],
    &[],
];

#[test]
fn nobody_reads_the_output() {
    for arguments in PRINTING {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let outcome = finish(command(arguments).stdout(writer).stderr(Stdio::piped())).succeeds();
        assert!(!outcome.err.contains("error"), "{arguments:?}: {}", outcome.err);
    }
}

#[test]
fn a_reader_that_has_read_enough() {
    let mut child = command(&["generate", "--backend", "cpu", "Once upon a time", "-n", "4000", "--context", "4096"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begin = [0; 30];
    child.stdout.take().unwrap().read_exact(&mut begin).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.lines().count()), (Some(0), 2), "{err}");
}

#[test]
fn nobody_reads_what_is_said_on_standard_error() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let arguments = ["generate", "--backend", "cpu", "Once", "-n", "4", "--temperature", "0"];
    let deaf = finish(command(&arguments).stderr(writer)).succeeds();
    assert_eq!(deaf.out, run(&arguments).succeeds().out);
}

#[test]
fn a_prompt_that_is_no_text() {
    let mut child = command(&["generate", "--backend", "cpu"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\xfe").unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err, "error: standard input: it is not UTF-8; convert it first\n");
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(unix)]
#[test]
fn streams_that_are_closed() {
    use crate::run::shell;

    shell("exec \"$@\" <&-", &["generate", "--backend", "cpu"])
        .refuses("the prompt is empty: give the beginning of a text, as an argument or on standard input");
    shell("exec \"$@\" <&-", &["chat", "--backend", "cpu"])
        .refuses("standard input ended before anything was said: give one message a line, or a terminal");
    for arguments in PRINTING {
        let outcome = shell("exec \"$@\" >&- 2>&-", arguments).succeeds();
        assert_eq!((outcome.out, outcome.err), (String::new(), String::new()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_for_the_output() {
    use crate::run::shell;

    for arguments in PRINTING {
        let outcome = shell("exec \"$@\" >/dev/full", arguments);
        outcome.refuses("standard output: No space left on device (os error 28)");
    }
}

#[cfg(unix)]
#[test]
fn a_prompt_that_cannot_be_read() {
    use crate::run::shell;

    shell("exec \"$@\" </", &["generate", "--backend", "cpu"]).refuses("standard input: Is a directory (os error 21)");
}
