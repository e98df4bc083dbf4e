//! How likely a model finds sentences: the sum of the logarithms of its tokens' probabilities, in nats, and their mean.
//! Takes a model, or else the built-in one.

use std::env;

use bimetal::{Generator, Result};

const SENTENCES: [&str; 3] = [
    "Once upon a time, there was a little girl who liked to play.",
    "Once upon a time, there was a little girl who liked to tax.",
    "Upon once time a, was there girl little a play to liked who.",
];

/// Scores all sentences.
pub fn score(llm: &Generator) -> Result<()> {
    println!("{:>8}{:>11}", "sum", "per token");
    for sentence in SENTENCES {
        let tokens = llm.score(sentence)?;
        let sum: f64 = tokens.iter().sum();
        println!("{sum:>8.2}{:>11.2}  {sentence}", sum / tokens.len() as f64);
    }
    Ok(())
}

/// Opens and scores.
pub fn main() -> Result<()> {
    score(&env::args().nth(1).map_or_else(Generator::built_in, |model| Generator::open(&model))?)
}
