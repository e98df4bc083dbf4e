//! `chat` on a terminal: how it ends, and what it remembers.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use nix::{
    sys::{
        signal::{Signal, kill},
        termios::{InputFlags, LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

use crate::{support::scratch::Scratch, terminal::Terminal};

#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    let history = Scratch::empty();
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::chat(&history, &[]);
        terminal.wait("\x1b[?2004h");
        terminal.wait("> ");
        let keys = terminal.keys.try_clone().unwrap();
        assert!(!tcgetattr(&keys).unwrap().local_flags.contains(LocalFlags::ECHO));
        kill(Pid::from_raw(terminal.child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(terminal.child.wait().unwrap().signal(), Some(signal as i32));
        let left = tcgetattr(&keys).unwrap();
        assert!(left.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG));
        assert!(left.input_flags.contains(InputFlags::ICRNL));
        drop(keys);
        let seen = terminal.rest();
        let (_, after) = seen.rsplit_once("\x1b[?2004h").unwrap();
        assert!(after.contains("\x1b[?2004l"), "{after:?}");
    }
}

/// What makes a history.
type Make = fn(&Path);

#[test]
fn a_history_that_is_none_is_told_once() {
    let histories: [(Make, &str); 3] = [
        (|file| fs::create_dir(file).unwrap(), "a directory; expected a file"),
        (|file| fs::write(file, b"#V2\n\xff\xfe\n").unwrap(), "no history of messages: "),
        (|file| std::os::unix::fs::symlink("/dev/full", file).unwrap(), "not a regular file"),
    ];
    for (make, why) in histories {
        let history = Scratch::empty();
        fs::create_dir(history.path("bimetal")).unwrap();
        make(&history.path("bimetal/chat-history"));
        let mut terminal = Terminal::chat(&history, &["-n", "2"]);
        terminal.wait("warning:");
        terminal.wait("> ");
        terminal.type_in(b"Hi\r");
        terminal.wait("> ");
        terminal.type_in(b"\x04");
        let (code, seen) = terminal.end();
        let words = seen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == Some(0) && words.contains(why), "{seen}");
        assert_eq!(seen.matches("warning:").count(), 1, "{seen}");
    }
}

#[test]
fn the_end_of_input_drops_a_message_that_has_no_end() {
    let history = Scratch::empty();
    let mut terminal = Terminal::chat(&history, &[]);
    for begun in [&b"\"\"\"a\r\x04"[..], b"a\\\r\x04"] {
        terminal.wait("> ");
        terminal.type_in(begun);
        terminal.wait("error: the message was not finished and is dropped;");
    }
    terminal.wait("> ");
    terminal.type_in(b"\x04");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn a_terminal_that_only_shows_text() {
    let history = Scratch::empty();
    for kind in [Some("dumb"), None] {
        let arguments = ["chat", "--backend", "cpu", "-t", "0", "-n", "2", "--stats"];
        let mut terminal = Terminal::start_on(kind, &history, &arguments);
        terminal.wait("/help lists the commands\r\n> ");
        terminal.type_in(b"\"\"\"a\r\x04");
        terminal.wait("error: the message was not finished and is dropped;");
        terminal.wait("> ");
        terminal.type_in(b"Hi\r");
        terminal.wait(" tok/s; ended by ");
        terminal.wait("> ");
        terminal.type_in(b"\x04");
        let (code, seen) = terminal.end();
        let (_, talk) = seen.split_once("tiny-stories, the built-in").unwrap();
        assert!(code == Some(0) && talk.contains("\r\n> \r\n1 answer: "), "{talk:?}");
        assert!(!talk.contains('\x1b'), "{talk:?}");
    }
}
