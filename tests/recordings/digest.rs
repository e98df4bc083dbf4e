//! 64-bit FNV-1a: a digest that is the same on every machine and with every compiler.

use std::fmt;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The digest of everything written so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Digest {
    /// The digest of one text.
    pub fn of(text: &str) -> Self {
        let mut digest = Self::default();
        digest.write(text);
        digest
    }

    /// Adds a text.
    pub fn write(&mut self, text: &str) {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[test]
fn digests_are_those_of_the_published_examples() {
    let published = [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")];
    for (text, expected) in published {
        assert_eq!(Digest::of(text).to_string(), expected);
    }
}
