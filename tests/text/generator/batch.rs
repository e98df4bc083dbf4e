//! Texts together with other texts.

use std::collections::BTreeMap;

use bimetal::{Conversation, Finish, GenerationOptions, low_level::text::chat_template::Options as TemplateOptions};

use super::{PROMPT, alone, finish, generator, options};
use crate::support::backends::backends;

const PROMPTS: [&str; 3] = [PROMPT, "One day, a girl named Lily", "The dog and the cat went to the"];

#[test]
fn each_text_of_a_batch_is_what_it_is_alone() {
    let (name, backend) = backends().remove(0);
    let mut g = generator(&backend, 3);
    let expected = PROMPTS.map(|prompt| alone(&mut g, prompt, &options(Vec::new())));
    let ids = PROMPTS.map(|prompt| g.add(prompt, &options(Vec::new())).unwrap());
    let texts = finish(&mut g);
    assert_eq!(texts.len(), 3);
    for (id, expected) in ids.iter().zip(&expected) {
        assert_eq!(&texts[id], expected, "{name}");
    }
}

#[test]
fn a_batch_beside_streams_loses_nothing() {
    for (name, backend) in backends() {
        let mut g = generator(&backend, 3);
        let expected = PROMPTS.map(|prompt| alone(&mut g, prompt, &options(Vec::new())));
        let ids = [0, 1].map(|at| g.add(PROMPTS[at], &options(Vec::new())).unwrap());
        let early: Vec<_> = (0..3).flat_map(|_| g.step().unwrap()).collect();
        // The first stream ends early, the second runs to its end.
        let few = g.stream(PROMPTS[2], &options(Vec::new())).unwrap().take(3).map(Result::unwrap).collect::<String>();
        assert!(!few.is_empty() && expected[2].0.starts_with(&few), "{name}");
        assert_eq!(alone(&mut g, PROMPTS[2], &options(Vec::new())), expected[2], "{name}: the stream");
        let mut texts = finish(&mut g);
        for event in early.into_iter().rev() {
            texts.get_mut(&event.id).unwrap().0.insert_str(0, &event.text);
        }
        for (id, expected) in ids.iter().zip(&expected) {
            assert_eq!(&texts[id], expected, "{name}: a text beside the stream");
        }
    }
}

#[test]
fn a_stop_string_ends_its_text_and_no_other() {
    let (name, backend) = backends().remove(0);
    let mut g = generator(&backend, 3);
    let [first, second, _] = PROMPTS.map(|prompt| alone(&mut g, prompt, &options(Vec::new())));
    let stop = first.0.split_inclusive(' ').nth(3).unwrap().to_string();
    let stopped = first.0[..first.0.find(&stop).unwrap()].to_string();
    let ends = g.add(PROMPTS[0], &options(vec![stop])).unwrap();
    let goes_on = g.add(PROMPTS[1], &options(Vec::new())).unwrap();
    let mut timings = BTreeMap::new();
    let mut texts = BTreeMap::<_, String>::new();
    while !g.is_idle() {
        for event in g.step().unwrap() {
            texts.entry(event.id).or_default().push_str(&event.text);
            if let Some(finish) = event.finish {
                assert!(!g.engine().is_running(event.id), "{name}");
                timings.insert(event.id, (finish, event.timing));
            }
        }
    }
    assert_eq!((&texts[&ends], timings[&ends].0), (&stopped, Finish::Stop), "{name}");
    assert_eq!((&texts[&goes_on], Some(timings[&goes_on].0)), (&second.0, second.1), "{name}");
    let generated = [ends, goes_on].map(|id| timings[&id].1.generated);
    assert!(generated[0] < generated[1] && generated[1] <= 24, "{name}: {generated:?}");
    let prompt = g.text.tokenizer.encode(PROMPTS[1]).unwrap().len();
    assert_eq!(timings[&goes_on].1.prompt, prompt, "{name}");
}

#[test]
fn a_text_that_is_cancelled_says_no_more_and_leaves_the_others() {
    let (name, backend) = backends().remove(0);
    let mut g = generator(&backend, 2);
    let expected = alone(&mut g, PROMPTS[1], &options(Vec::new()));
    let [gone, stays] = [0, 1].map(|at| g.add(PROMPTS[at], &options(Vec::new())).unwrap());
    let mut said: Vec<_> = (0..4).flat_map(|_| g.step().unwrap()).collect();
    // Events in the queue are also gone.
    assert!(g.stream(PROMPTS[2], &options(Vec::new())).unwrap().next().unwrap().is_ok());
    g.cancel(gone);
    said.retain(|event| event.id == stays);
    let mut texts = finish(&mut g);
    assert_eq!(texts.keys().collect::<Vec<_>>(), [&stays], "{name}");
    let (rest, ended) = texts.remove(&stays).unwrap();
    let text = said.into_iter().map(|event| event.text).chain([rest]).collect::<String>();
    assert_eq!((text, ended), expected, "{name}");
}

#[test]
fn a_text_of_no_tokens_has_a_last_event() {
    let (_, backend) = backends().remove(0);
    let mut g = generator(&backend, 2);
    let none = GenerationOptions { max_tokens: 0, ..options(Vec::new()) };
    let ids = [g.add(PROMPT, &none).unwrap(), g.add(PROMPT, &options(Vec::new())).unwrap()];
    let texts = finish(&mut g);
    assert_eq!(texts[&ids[0]], (String::new(), Some(Finish::Length)));
    assert_ne!(texts[&ids[1]].0, "");
}

/// A turn of a conversation computes the prefix of its prompt apart, beside other texts.
#[test]
fn a_batch_beside_a_conversation_loses_nothing() {
    let (name, backend) = backends().remove(0);
    let mut g = generator(&backend, 3);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chat_template.jinja");
    g.text.template =
        Some(bimetal::low_level::text::chat_template::Template::new(&std::fs::read_to_string(file).unwrap()).unwrap());
    let told = TemplateOptions { generation_prompt: true, thinking: Some(true), ..TemplateOptions::default() };
    let answer = |g: &mut super::Generator| -> String {
        let mut c = Conversation::new(None, told.clone());
        let said = c.say(g, "Hi", &options(Vec::new())).unwrap().map(Result::unwrap).collect();
        c.clear(g);
        said
    };
    let (expected, said) = (alone(&mut g, PROMPT, &options(Vec::new())), answer(&mut g));
    let id = g.add(PROMPT, &options(Vec::new())).unwrap();
    assert_eq!(answer(&mut g), said, "{name}");
    assert_eq!(finish(&mut g)[&id], expected, "{name}");
}
