//! A text that a template pays for while it is written.

use std::{fmt, io};

use minijinja::State;

/// Bytes that one unit of fuel pays for, as the engine counts what it serializes itself.
const BYTES_PER_FUEL: usize = 4;

/// Charges the template as it goes, so that a small value that unfolds into a huge text is stopped on the way.
pub(super) struct Metered<'a, 'template, 'environment> {
    state: &'a State<'template, 'environment>,
    /// What was written.
    pub(super) text: Vec<u8>,
    charged: usize,
}

impl<'a, 'template, 'environment> Metered<'a, 'template, 'environment> {
    pub(super) fn new(state: &'a State<'template, 'environment>) -> Self {
        Metered { state, text: Vec::new(), charged: 0 }
    }
}

impl io::Write for Metered<'_, '_, '_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let due = (self.text.len() + buffer.len()) / BYTES_PER_FUEL;
        self.state.consume_fuel((due - self.charged) as u64).map_err(|_| io::ErrorKind::Other)?;
        self.charged = due;
        self.text.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Metered<'_, '_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        io::Write::write_all(self, text.as_bytes()).map_err(|_| fmt::Error)
    }
}
