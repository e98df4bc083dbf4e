//! What is shown on a terminal: `chat`, `generate`, and the time that is left.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use nix::pty::{Winsize, openpty};

use crate::{
    run::{checkpoint, command},
    support::{fixtures::fixture, scratch::Scratch},
};

/// Far above what any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program on a terminal.
pub struct Terminal {
    pub child: Child,
    pub keys: File,
    output: Receiver<Vec<u8>>,
    /// Everything shown so far.
    seen: String,
    /// The part of it that was waited for.
    waited: usize,
}

impl Terminal {
    /// Starts `chat` with greedy sampling; the history is in a directory of its own.
    pub fn chat(history: &Scratch, flags: &[&str]) -> Self {
        Self::start(history, &[&["chat", "--backend", "cpu", "-t", "0"], flags].concat())
    }

    /// Starts a command on a terminal of 60 columns.
    fn start(history: &Scratch, arguments: &[&str]) -> Self {
        Self::start_on(Some("xterm"), history, arguments)
    }

    /// The same on a terminal of this kind.
    pub fn start_on(kind: Option<&str>, history: &Scratch, arguments: &[&str]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let inner = command(arguments);
        // The program opens the terminal by its name, for which it must be the one of its session.
        let mut outer = Command::new("setsid");
        outer.arg("--ctty").arg("--wait").arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer.env_remove("TERM").envs(kind.map(|kind| ("TERM", kind))).env("XDG_STATE_HOME", &history.0);
        let stream = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = outer.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        drop(pair.slave);
        let output = shown(pair.master.try_clone().unwrap());
        Self { child, keys: pair.master.into(), output, seen: String::new(), waited: 0 }
    }

    pub fn type_in(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// Waits until a text is shown after what was waited for before. Returns what came up to it.
    #[track_caller]
    pub fn wait(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen[self.waited..].find(text) {
                let before = self.seen[self.waited..self.waited + at].to_owned();
                self.waited += at + text.len();
                return before;
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => {
                    panic!("no {text:?} after {:?} in {:?}", &self.seen[..self.waited], &self.seen[self.waited..])
                }
            }
        }
    }

    /// Waits for the end; returns the exit code and everything shown.
    pub fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.rest())
    }

    /// Everything shown until the program's end.
    pub fn rest(mut self) -> String {
        self.seen.extend(self.output.iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        self.seen
    }
}

/// What a terminal shows, as it comes.
fn shown(terminal: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, output) = channel();
    let mut terminal = File::from(terminal);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // A terminal that no program uses any more is an error to read.
        while let Ok(read @ 1..) = terminal.read(&mut bytes) {
            if sender.send(bytes[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}

#[test]
fn lines_that_are_pasted_or_no_text_or_typed_too_early() {
    let history = Scratch::empty();
    let mut terminal = Terminal::chat(&history, &["-n", "4"]);
    terminal.wait("tiny-stories, the built-in model");
    terminal.wait("context of 4,096 tokens, ");
    terminal.wait("/help lists the commands");
    terminal.wait("> ");
    terminal.type_in(b"\xff\xfehi\r");
    terminal.wait("error: the line is not UTF-8 and was not read");
    terminal.wait("> ");
    // A paste of several lines without the marks of a paste: each is a message.
    terminal.type_in(b"alpha\rbeta\rgamma\r/set max-tokens 40\r/set stop\r");
    terminal.wait("/set max-tokens 40");
    terminal.wait("> ");
    terminal.wait("> ");
    terminal.type_in(b"Tell me a story.\r");
    terminal.wait("story.");
    terminal.wait("Once upon");
    terminal.type_in(b"xyzzy");
    // What was typed into the answer is in the next line to edit, and only there.
    let answer = terminal.wait("> ");
    assert!(!answer.contains("xyz"), "{answer:?}");
    terminal.wait("xyzzy");
    terminal.type_in(b"\x15/set max-tokens -1\rTell me a story.\r");
    terminal.wait("Once upon");
    terminal.type_in(b"\x03");
    terminal.wait("> ");
    terminal.type_in(b"/stats\r");
    terminal.wait(" tok/s; interrupted");
    terminal.wait("> ");
    terminal.type_in(b"/exit\r");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("5 answers: ") && seen.contains(" prompt tokens"), "{seen}");
}

#[test]
fn color_lines_and_history() {
    let history = Scratch::empty();
    let mut terminal = Terminal::chat(&history, &["-n", "40", "--stats", "Tell me a story about a dog and a cat."]);
    terminal.wait("\x1b[1m> \x1b[0mTell me a story");
    terminal.wait("\x1b[2KOnce ");
    let answer = terminal.wait("\x1b[2m");
    terminal.wait(" tok/s; ended by -n 40\x1b[0m");
    // Lines end between words, within the terminal.
    let lines: Vec<_> = answer.lines().collect();
    assert!(lines.len() > 2 && lines.iter().all(|line| line.trim_end().len() <= 60), "{answer:?}");
    terminal.wait("> ");
    terminal.type_in(b"first line\\\rsecond line\r");
    terminal.wait(" tok/s; ended by ");
    terminal.wait("> ");
    terminal.type_in(b"\x04");
    assert_eq!(terminal.end().0, Some(0));
    let mut terminal = Terminal::chat(&history, &["-n", "2", "--color", "never"]);
    terminal.wait("> ");
    terminal.type_in(b"\x1b[A");
    terminal.wait("second line");
    terminal.type_in(b"\r");
    terminal.wait("> ");
    terminal.type_in(b"\x04");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("1 answer: ") && !seen.contains("\x1b[2m") && !seen.contains("\x1b[1m"), "{seen:?}");
}

/// Elsewhere than on a terminal nothing is drawn: other tests compare all of standard error.
#[test]
fn work_that_lasts_tells_the_time_that_is_left() {
    let home = Scratch::empty();
    let small = fixture("tiny-tied-text-f32");
    let small = small.to_str().unwrap();
    let shown = |arguments: &[&str]| {
        let (code, seen) = Terminal::start(&home, &[arguments, &["--backend", "cpu", "-m", small]].concat()).end();
        assert_eq!(code, Some(0), "{seen}");
        seen
    };
    let measurements: [&[&str]; 5] = [
        &["bench", "-p", "64", "-n", "4", "-r", "2"],
        &["bench", "--profile", "-p", "64", "-n", "4", "-r", "2"],
        &["bench", "--compare-loop"],
        &["bench", "growth", "--contexts", "16,64", "-S", "1", "-n", "4", "-r", "2"],
        &["bench", "kernel", "matvec", "--cold", "1", "-r", "1"],
    ];
    for arguments in measurements {
        let seen = shown(arguments);
        assert!(seen.contains("measuring ") && seen.contains(" %, first run: "), "{arguments:?}: {seen:?}");
        assert!(seen.contains(" %, about ") && seen.contains(" left: "), "{arguments:?}: {seen:?}");
    }
}

#[test]
fn evaluations_and_quantize_tell_the_time_that_is_left() {
    let (home, checkpoint) = (Scratch::empty(), checkpoint());
    home.write("text.txt", "a b c d e f g ".repeat(20));
    let (text, out, model) = (home.path("text.txt"), home.path("q4"), checkpoint.0.to_str().unwrap());
    let [text, out] = [&text, &out].map(|path| path.to_str().unwrap());
    let scored = ["--backend", "cpu", "-m", model, "-f", text, "-w", "16"];
    let commands: [(Vec<&str>, &str); 3] = [
        ([&["perplexity"], &scored[..]].concat(), "scoring "),
        ([&["compare", "--against", "q8"], &scored[..]].concat(), "scoring "),
        (vec!["quantize", model, out, "--format", "q4"], "quantizing "),
    ];
    for (arguments, bar) in commands {
        let (code, seen) = Terminal::start(&home, &arguments).end();
        assert_eq!(code, Some(0), "{seen}");
        let (_, shown) = seen.split_once(bar).unwrap_or_else(|| panic!("{arguments:?}: {seen:?}"));
        assert!(shown.contains(" left"), "{arguments:?}: {seen:?}");
    }
}

#[test]
fn figures_and_errors_break_between_words() {
    for arguments in [&["generate", "Once", "-n", "9", "-t", "0", "-b", "cpu"][..], &["info", "-m", "no/such/place"]] {
        let piped = crate::run::run(arguments).err;
        assert!(piped.lines().any(|line| line.len() > 60), "{piped}");
        let (_, seen) = Terminal::start(&Scratch::empty(), arguments).end();
        // What follows the last bar, without colors.
        let seen = seen.rsplit("\x1b[1A").next().unwrap().replace("\x1b[2m", "").replace("\x1b[0m", "");
        assert!(seen.lines().all(|line| line.trim_end().len() <= 60), "{seen}");
        let long = piped.split_whitespace().max_by_key(|word| word.len()).unwrap();
        assert!(seen.contains(long), "{long} is broken: {seen}");
    }
}

#[test]
fn a_continued_text_breaks_between_words_on_a_terminal_alone() {
    let arguments = ["generate", "Once upon a time", "-n", "40", "-t", "0", "-b", "cpu", "-q"];
    let piped = crate::run::run(&arguments).succeeds().out;
    assert!(piped.lines().any(|line| line.len() > 60), "{piped}");
    let (code, seen) = Terminal::start(&Scratch::empty(), &arguments).end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.lines().count() > 2 && seen.lines().all(|line| line.trim_end().len() <= 60), "{seen}");
    // Only spaces have become line ends.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&seen), words(&piped));
}
