//! Streams that end early free their memory.

use bimetal::{
    Finish, GenerationOptions, Generator,
    low_level::{generate::EndReason, text::tokenizer::SpecialTokens},
};

use super::{CONTEXT, PROMPT, generator, options};
use crate::support::backends::backends;

/// A request that needs all memory, run to its end.
fn fill(g: &mut Generator) {
    let prompt = " cat".repeat(CONTEXT as usize - 2);
    assert_eq!(g.text.tokenizer.encode(&prompt).unwrap().len(), CONTEXT as usize - 2);
    let id = g.add(&prompt, &options(Vec::new())).unwrap();
    let events: Vec<_> = (0..4).flat_map(|_| g.step().unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!((last.id, last.timing.generated, last.finish), (id, 2, Some(Finish::Length)));
    assert!(!g.engine().is_running(id), "the next request does not get the memory it needs");
}

#[test]
fn a_text_that_a_stop_string_ends_gives_its_memory_back() {
    for (name, backend) in backends() {
        let mut g = generator(&backend, 1);
        let whole: String = g.stream(PROMPT, &options(Vec::new())).unwrap().map(Result::unwrap).collect();
        let words: Vec<&str> = whole.split_inclusive(' ').collect();
        for at in [2, 4, 6] {
            let (before, stop) = (words[..at].concat(), words[at..at + 2].concat());
            let before = &whole[..whole.find(&stop).unwrap().min(before.len())];
            let mut stream = g.stream(PROMPT, &options(vec![stop.clone()])).unwrap();
            let said: String = stream.by_ref().map(Result::unwrap).collect();
            assert_eq!((said.as_str(), stream.finish()), (before, Some(Finish::Stop)), "{name}: {stop:?}");
            assert_eq!(stream.reason(), Some(&EndReason::StopString(stop)), "{name}");
            drop(stream);
            assert!(g.engine().is_idle() && g.is_idle(), "{name}: it is still being computed");
            fill(&mut g);
        }
    }
}

/// The reason of a text's end, its text, and its tokens.
fn told(g: &mut Generator, options: &GenerationOptions) -> (Option<EndReason>, String, Vec<u32>) {
    let mut stream = g.stream(PROMPT, options).unwrap();
    let said = stream.by_ref().map(Result::unwrap).collect();
    (stream.reason().cloned(), said, stream.tokens().to_vec())
}

#[test]
fn a_stream_says_why_its_text_ended_and_of_which_tokens_it_is() {
    let (_, backend) = backends().remove(0);
    let mut g = generator(&backend, 1);
    let (reason, said, tokens) = told(&mut g, &options(Vec::new()));
    assert_eq!((reason, tokens.len()), (Some(EndReason::MaxTokens), 24));
    assert_eq!(g.text.tokenizer.decode(&tokens, SpecialTokens::Show), said);
    let endless = GenerationOptions { max_tokens: usize::MAX, ..options(Vec::new()) };
    let (reason, _, all) = told(&mut g, &endless);
    let prompt = g.text.tokenizer.encode(PROMPT).unwrap().len();
    assert_eq!((reason, all.len()), (Some(EndReason::ContextFull), CONTEXT as usize - prompt));
    g.text.stop.ids.insert(tokens[5]);
    let at = tokens.iter().position(|id| *id == tokens[5]).unwrap();
    let (reason, said, until) = told(&mut g, &options(Vec::new()));
    assert_eq!((reason, until.as_slice()), (Some(EndReason::StopId(tokens[5])), &tokens[..=at]));
    assert_eq!(said, g.text.tokenizer.decode(&tokens[..at], SpecialTokens::Show));
}

#[test]
fn a_stream_that_is_dropped_gives_its_memory_back() {
    let (_, backend) = backends().remove(0);
    let mut g = generator(&backend, 1);
    for pieces in [0, 1, 3] {
        let taken = g.stream(PROMPT, &options(Vec::new())).unwrap().take(pieces).filter(Result::is_ok).count();
        assert_eq!(taken, pieces);
        assert!(g.engine().is_idle() && g.is_idle());
        fill(&mut g);
    }
}

#[test]
fn an_empty_stop_string_is_refused_before_anything_is_queued() {
    let (_, backend) = backends().remove(0);
    let mut g = generator(&backend, 1);
    assert!(g.stream(PROMPT, &options(vec![String::new()])).is_err());
    assert!(g.add("", &options(Vec::new())).is_err());
    assert!(g.engine().is_idle() && g.is_idle());
}
