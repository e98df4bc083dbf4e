//! Eight prompts at once: the scheduler shares every step among them.

use std::collections::BTreeMap;

use bimetal::{
    compute::devices::{Choice, open},
    engine::{AtEnd, Request},
    generate::generator::{Generator, Setup},
    model::built_in,
    text::tokenizer::SpecialTokens,
};

/// Queues all prompts, then steps until none is left.
pub fn main() -> bimetal::Result<()> {
    let backend = open(Choice::Auto, None)?.backend;
    let mut generator = Generator::open(&backend, &built_in::open()?, Setup::default(), &mut |_, _| {})?;
    let heroes = ["fox", "bear", "duck", "girl", "robot", "mouse", "king", "frog"];
    let mut texts = BTreeMap::new();
    for hero in heroes {
        let start = format!("Once upon a time, there was a little {hero}");
        let prompt = generator.text.tokenizer.encode(&start)?;
        let (sampling, stop) = (generator.text.sampling.clone(), generator.text.stop.ids.clone());
        let id = generator.engine.add(Request { prompt, sampling, max_tokens: 60, stop, at_end: AtEnd::Free })?;
        texts.insert(id, (start, generator.text.tokenizer.decoder(SpecialTokens::Skip)));
    }
    while !generator.engine.is_idle() {
        for event in generator.engine.step()? {
            if let Some((text, decoder)) = texts.get_mut(&event.sequence) {
                text.push_str(decoder.push(event.token));
            }
        }
    }
    texts.values().for_each(|(text, _)| println!("{text}\n"));
    Ok(())
}
