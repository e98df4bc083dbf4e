//! `chat`: a question as an argument, and conversations in files.

use std::fs;

use crate::{
    run::{Outcome, pipe, shell},
    support::scratch::Scratch,
};

const FIXED: [&str; 8] = ["chat", "--backend", "cpu", "--temperature", "0", "-n", "8", "--stats"];

fn chat(arguments: &[&str], turns: &str) -> Outcome {
    pipe(&[FIXED.as_slice(), arguments].concat(), turns)
}

/// The number of tokens of the first prompt.
fn tokens(outcome: &Outcome) -> &str {
    let line = outcome.err.lines().find(|line| line.contains("first token"));
    line.unwrap_or_else(|| panic!("{}", outcome.err)).split(' ').next().unwrap()
}

#[test]
fn what_is_piped_follows_the_question() {
    let alone = chat(&["Tell me a story."], "").succeeds();
    assert_eq!(alone.out, chat(&[], "Tell me a story.\n").succeeds().out);
    assert_eq!(alone.out, chat(&["Tell me a story."], "\n").succeeds().out);
    let quiet = chat(&["--quiet", "--no-history", "Tell me a story."], "").succeeds();
    assert_eq!((&quiet.out, quiet.err.as_str()), (&alone.out, ""));
    let both = chat(&["Tell me a story."], "One \\\ndog.\n").succeeds();
    let whole = chat(&["Tell me a story.\n\nOne \\\ndog."], "").succeeds();
    assert_eq!((&both.out, tokens(&both)), (&whole.out, tokens(&whole)));
    assert_ne!(tokens(&both), tokens(&alone));
    shell(r#"printf 'caf\351' | exec "$@""#, &[&FIXED[..], &["What is this?"]].concat())
        .refuses("standard input is not UTF-8; convert it first");
}

#[test]
fn a_question_as_an_argument_follows_the_rule_of_a_line() {
    for empty in ["", " \n"] {
        chat(&[empty], "Hi\n").refuses("the question is empty; ask something, or leave it out for a conversation");
    }
    let help = chat(&["/help"], "").succeeds();
    assert!(help.out.is_empty() && help.err.contains("/clear "), "{}", help.err);
    let outcome = chat(&["/nosuch"], "Hi\n");
    assert_eq!((outcome.code, outcome.out.lines().count()), (Some(1), 1), "{}", outcome.err);
    assert!(outcome.err.contains("error: no command /nosuch; "), "{}", outcome.err);
    assert_eq!(chat(&["/exit"], "Hi\n").succeeds().out, "");
    let escaped = chat(&["//x"], "").succeeds();
    assert_eq!(tokens(&escaped), tokens(&chat(&[], "//x\n").succeeds()));
}

#[test]
#[cfg(unix)]
fn a_save_that_fails_leaves_the_old_file() {
    let directory = Scratch::empty();
    let file = directory.path("talk.json");
    let save = format!("/save {}", file.display());
    chat(&[], &format!("/system Be kind.\n{save}\n")).succeeds();
    let old = fs::read(&file).unwrap();
    let line =
        format!("ulimit -f 1; trap '' XFSZ; printf '%s\\n' '/system {}' '{save}' | exec \"$@\"", "a ".repeat(1024));
    let outcome = shell(&line, &FIXED);
    assert!(outcome.code == Some(1) && outcome.err.contains("talk.json: File too large"), "{}", outcome.err);
    assert_eq!(fs::read(&file).unwrap(), old);
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1, "something is left beside the file");
    // A link stays a link.
    let link = directory.path("link.json");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    chat(&[], &format!("/system Be brief.\n/save {}\n", link.display())).succeeds();
    assert!(link.is_symlink() && fs::read_to_string(&file).unwrap().contains("Be brief."));
}

#[test]
#[cfg(unix)]
fn only_files_are_saved_and_loaded() {
    let directory = Scratch::empty();
    let fifo = directory.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for command in ["/save", "/load"] {
        for (path, why) in [
            (&*fifo, "not a regular file"),
            ("/dev/full".as_ref(), "not a regular file"),
            (&*directory.0, "a directory; expected a file"),
        ] {
            let outcome = chat(&[], &format!("{command} {}\n", path.display()));
            let told = format!("error: {}: {why}\n", path.display());
            assert!(outcome.code == Some(1) && outcome.err.contains(&told), "{}", outcome.err);
        }
    }
}

#[test]
fn a_file_that_lacks_something_leaves_the_conversation() {
    let directory = Scratch::empty();
    let file = directory.path("talk.json");
    let cases: [(&[u8], &str); 8] = [
        (br#"{"messages":[{"role":"user"}]}"#, "message 1: no `content`; expected "),
        (
            br#"[{"role":"user","content":"a"},{"role":"user","content":7}]"#,
            "message 2: `content` is no text; expected",
        ),
        (br#"[{"content":"a"}]"#, "message 1: no `role`; expected one of "),
        (br#"[{"role":"bot","content":"a"}]"#, "message 1: role \"bot\", expected one of system, user"),
        (b"[]", "it has no messages; expected "),
        (br#"{"messages":[]}"#, "it has no messages; expected "),
        (br#"{"text":[]}"#, "expected {\"messages\": "),
        (b"\"caf\xe9\"", "it is not UTF-8; convert it first"),
    ];
    for (text, why) in cases {
        fs::write(&file, text).unwrap();
        let outcome = chat(&["--system", "Be kind."], &format!("/load {}\n/system\n", file.display()));
        let told = format!("error: {}: {why}", file.display());
        assert!(outcome.code == Some(1) && outcome.err.contains(&told), "{why}: {}", outcome.err);
        assert!(outcome.err.contains("\nBe kind.\n"), "{}", outcome.err);
    }
    // Calls of tools need no text.
    let calls = r#"[{"role":"assistant","content":null,"tool_calls":[{"name":"a","arguments":{}}]}]"#;
    fs::write(&file, calls).unwrap();
    let outcome = chat(&[], &format!("/load {}\n", file.display())).succeeds();
    assert!(outcome.err.contains(": 1 message\n"), "{}", outcome.err);
}
