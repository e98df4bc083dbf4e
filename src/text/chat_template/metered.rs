//! Text that uses the template's fuel while it is written.

use std::{fmt, io};

use minijinja::State;

/// Bytes per unit of fuel, as the template engine counts its own serialization.
const BYTES_PER_FUEL: usize = 4;

/// Charges fuel during writing, so that a small value that expands to a huge text stops early.
pub(super) struct Metered<'a, 'template, 'environment> {
    state: &'a State<'template, 'environment>,
    /// The text so far.
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
