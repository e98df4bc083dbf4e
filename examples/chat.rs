//! A chat program: reads lines, streams answers, and remembers what was said. Takes a model, or else the built-in one.

use std::{
    env,
    io::{BufRead, Write, stdin, stdout},
};

use bimetal::{Conversation, Error, Generator, Result};

/// Answers each line of the input.
pub fn chat(llm: &mut Generator, input: impl BufRead, mut output: impl Write) -> Result<()> {
    let options = llm.generation_options();
    let mut conversation = Conversation::default();
    for line in input.lines() {
        let line = line.map_err(Error::io("standard input"))?;
        for piece in conversation.say(llm, &line, &options)? {
            write!(output, "{}", piece?).and_then(|()| output.flush()).map_err(Error::io("standard output"))?;
        }
        writeln!(output).map_err(Error::io("standard output"))?;
    }
    Ok(())
}

/// Talks on the terminal.
pub fn main() -> Result<()> {
    let mut llm = env::args().nth(1).map_or_else(Generator::built_in, |model| Generator::open(&model))?;
    chat(&mut llm, stdin().lock(), stdout())
}
