//! Eight prompts at once: every step computes a token of each. A text ends with its first paragraph.

use std::collections::BTreeMap;

use bimetal::{GenerationOptions, Generator, Result};

/// Adds all prompts, then steps until every text is over.
pub fn main() -> Result<()> {
    let mut llm = Generator::built_in()?;
    let stop = vec!["\n".to_string()];
    let options = GenerationOptions { max_tokens: 60, stop, ..llm.generation_options() };
    let mut texts = BTreeMap::new();
    for hero in ["fox", "bear", "duck", "girl", "robot", "mouse", "king", "frog"] {
        let prompt = format!("Once upon a time, there was a little {hero}");
        texts.insert(llm.add(&prompt, &options)?, prompt);
    }
    while !llm.is_idle() {
        for event in llm.step()? {
            if let Some(text) = texts.get_mut(&event.id) {
                text.push_str(&event.text);
            }
        }
    }
    texts.values().for_each(|text| println!("{text}\n"));
    Ok(())
}
