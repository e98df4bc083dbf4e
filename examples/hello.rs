//! Opens the built-in model on the best device, and streams a story.

use std::io::{Write, stdout};

use bimetal::{Error, Generator, Result};

/// Opens, generates, prints.
pub fn main() -> Result<()> {
    let mut llm = Generator::built_in()?;
    for piece in llm.generate("Once upon a time")? {
        print!("{}", piece?);
        stdout().flush().map_err(Error::io("standard output"))?;
    }
    println!();
    Ok(())
}
