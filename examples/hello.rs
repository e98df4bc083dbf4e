//! Opens a device, loads the built-in model, and streams a story.

use std::io::{Write, stdout};

use bimetal::{
    compute::devices::{Choice, open},
    generate::generator::{Generator, Settings, Setup},
    model::built_in,
};

/// Opens, loads, streams.
pub fn main() -> bimetal::Result<()> {
    let backend = open(Choice::Auto, None)?.backend;
    let mut generator = Generator::open(&backend, &built_in::open()?, Setup::default(), &mut |_, _| {})?;
    let settings = Settings { most: 200, ..generator.settings() };
    for piece in generator.stream("Once upon a time", &settings)? {
        print!("{}", piece?);
        stdout().flush().map_err(bimetal::Error::io("standard output"))?;
    }
    println!();
    Ok(())
}
