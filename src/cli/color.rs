//! Color and weight of text on a terminal. Only attributes that suit dark and light backgrounds alike.

use std::{env, ffi::OsStr};

use clap::ValueEnum;

/// When to color.
#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set; also elsewhere if CLICOLOR_FORCE is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// The paint for a stream.
    pub fn paint(self, is_terminal: bool) -> Paint {
        Paint(match self {
            Self::Auto => wanted(|name| env::var_os(name), is_terminal),
            Self::Always => true,
            Self::Never => false,
        })
    }
}

/// What the environment says of color.
fn wanted<T: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<T>, is_terminal: bool) -> bool {
    let is = |name: &str, value: &str| variable(name).is_some_and(|found| found.as_ref() == value);
    let is_set = |name: &str| variable(name).is_some_and(|found| !found.as_ref().is_empty());
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") {
        return true;
    }
    is_terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb")
}

/// Whether a stream shows color, and how.
#[derive(Clone, Copy, Default)]
pub struct Paint(bool);

impl Paint {
    /// Whether anything is painted.
    pub fn is_on(self) -> bool {
        self.0
    }

    /// What is not the answer itself.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Names.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_about_color() {
        let on = |set: &[(&str, &str)], is_terminal| {
            let find = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
            wanted(find, is_terminal)
        };
        assert!(on(&[], true) && !on(&[], false));
        assert!(!on(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true) && on(&[("NO_COLOR", "")], true));
        assert!(on(&[("CLICOLOR_FORCE", "1")], false) && !on(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!on(&[("CLICOLOR", "0")], true) && !on(&[("TERM", "dumb")], true));
    }

    #[test]
    fn only_colored_text_has_codes() {
        assert_eq!(Color::Never.paint(true).dim("a"), "a");
        assert_eq!(Color::Always.paint(false).dim("a"), "\x1b[2ma\x1b[0m");
        assert_eq!(Color::Always.paint(false).bold(""), "");
    }
}
