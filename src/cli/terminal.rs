//! The terminal's own echo, which would write into an answer what is typed meanwhile. Only Unix terminals have it.

#[cfg(unix)]
pub use unix::{HiddenTyping, discard_line, is_dumb, remember, reset, restore};

#[cfg(unix)]
mod unix {
    use std::{
        env,
        fs::OpenOptions,
        io::{Write, stdin},
        os::fd::AsFd,
        sync::{Mutex, PoisonError},
    };

    use nix::{
        poll::{PollFd, PollFlags, PollTimeout, poll},
        sys::termios::{FlowArg, InputFlags, LocalFlags, SetArg, Termios, tcflow, tcgetattr, tcsetattr},
        unistd::read,
    };

    /// How long a terminal may pause within a line that arrives at once.
    const PAUSE_MS: u8 = 50;

    /// The terminal's settings before typing was hidden.
    static SHOWN: Mutex<Option<Termios>> = Mutex::new(None);

    /// The terminal's settings at the program's start.
    static FIRST: Mutex<Option<Termios>> = Mutex::new(None);

    /// Ends the marks of a paste, which the line editor asks for, and its line.
    const AFTER_EDITOR: &[u8] = b"\x1b[?2004l\r\n";

    /// Whether the terminal only shows text: no colors, no codes that move the cursor.
    pub fn is_dumb() -> bool {
        env::var_os("TERM").is_none_or(|name| ["", "dumb", "cons25", "emacs"].iter().any(|dumb| name == *dumb))
    }

    /// Remembers the settings for [`reset`].
    pub fn remember() {
        *FIRST.lock().unwrap_or_else(PoisonError::into_inner) = tcgetattr(stdin()).ok();
    }

    /// Undoes what the line editor and hidden typing changed, from another thread, before the program ends.
    pub fn reset() {
        let Some(first) = FIRST.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        // A terminal that is gone needs no settings; one whose output is stopped would keep the program from ending.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &first).and_then(|()| tcflow(stdin(), FlowArg::TCOON));
        if !is_dumb() {
            let _ = OpenOptions::new().write(true).open("/dev/tty").and_then(|mut tty| tty.write_all(AFTER_EDITOR));
        }
    }

    /// Hides what is typed until dropped. It is read later all the same.
    pub struct HiddenTyping(());

    impl HiddenTyping {
        /// Begins to hide. `None` without a terminal.
        pub fn begin() -> Option<Self> {
            let shown = tcgetattr(stdin()).ok()?;
            let mut hidden = shown.clone();
            hidden.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON);
            // As a line editor reads it: the end of a line is what the key sends.
            hidden.input_flags.remove(InputFlags::ICRNL);
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
            tcsetattr(stdin(), SetArg::TCSADRAIN, &hidden).ok()?;
            Some(Self(()))
        }
    }

    impl Drop for HiddenTyping {
        fn drop(&mut self) {
            restore();
        }
    }

    /// Shows what is typed again, also from another thread, before the program ends.
    pub fn restore() {
        if let Some(shown) = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &shown);
        }
    }

    /// Reads what has already arrived of a line, up to its end.
    pub fn discard_line() {
        let Some(_hidden) = HiddenTyping::begin() else { return };
        let (stdin, mut byte) = (stdin(), [0]);
        loop {
            let mut sources = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            let arrived = poll(&mut sources, PollTimeout::from(PAUSE_MS)).unwrap_or(0) > 0;
            if !arrived || read(stdin.as_fd(), &mut byte).unwrap_or(0) == 0 || matches!(byte[0], b'\r' | b'\n') {
                return;
            }
        }
    }
}

/// Nothing to hide.
#[cfg(not(unix))]
pub struct HiddenTyping(());

#[cfg(not(unix))]
impl HiddenTyping {
    /// Without effect.
    pub fn begin() -> Option<Self> {
        None
    }
}

/// Without effect.
#[cfg(not(unix))]
pub fn restore() {}

/// Without effect.
#[cfg(not(unix))]
pub fn discard_line() {}

/// Whether the terminal only shows text. Other systems have no name for it.
#[cfg(not(unix))]
pub fn is_dumb() -> bool {
    false
}
