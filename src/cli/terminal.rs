//! The terminal's own echo, which would write into an answer what is typed meanwhile. Only Unix terminals have it.

#[cfg(unix)]
pub use unix::{HiddenTyping, discard_line, restore};

#[cfg(unix)]
mod unix {
    use std::{
        io::stdin,
        os::fd::AsFd,
        sync::{Mutex, PoisonError},
    };

    use nix::{
        poll::{PollFd, PollFlags, PollTimeout, poll},
        sys::termios::{InputFlags, LocalFlags, SetArg, Termios, tcgetattr, tcsetattr},
        unistd::read,
    };

    /// How long a terminal may pause within a line that arrives at once.
    const PAUSE_MS: u8 = 50;

    /// The terminal's settings before typing was hidden.
    static SHOWN: Mutex<Option<Termios>> = Mutex::new(None);

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
