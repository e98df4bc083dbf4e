//! Opens a device, loads the built-in model, and streams a story.
use std::{io::Write, sync::Arc};

use bimetal::{
    backend::Backend,
    cpu::Cpu,
    default_model,
    generator::{Generator, Settings, Setup},
};

fn main() -> bimetal::Result<()> {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let mut generator = Generator::open(&backend, &default_model::open()?, Setup::default(), &mut |_, _| {})?;
    let settings = Settings { most: 200, ..generator.settings() };
    let t = std::time::Instant::now();
    let mut stream = generator.stream("Once upon a time", &settings)?;
    for piece in &mut stream {
        print!("{}", piece?);
        std::io::stdout().flush().ok();
    }
    let f = stream.figures();
    eprintln!("\n{f:?} {} {} {:?}", f.prefill(), f.decode(), t.elapsed());
    Ok(())
}
