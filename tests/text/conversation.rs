//! Conversations: a turn reuses the computed prefix, and answers as if nothing had been reused.

use std::sync::Arc;

use bimetal::{
    Backend, Conversation, Engine, EngineOptions, Error, Finish, GenerationOptions, Generator, GeneratorOptions,
    Request, Sampling,
    low_level::{
        compute::dtype::DType,
        engine::AtEnd,
        generate::{StopAt, Timing},
        model::built_in,
        text::{
            chat_template::{Options as Told, Template},
            tokenizer::SpecialTokens,
        },
    },
};

use crate::support::backends::backends;

const QUESTIONS: [&str; 3] = ["Tell me a story about a cat.", "What did the cat do then?", "And the dog?"];

fn options(context: u32) -> EngineOptions {
    EngineOptions { context: Some(context), budget: Some(128), sequences: 1, snapshots: 1, ..EngineOptions::default() }
}

fn generator(backend: &Arc<dyn Backend>, context: u32) -> Generator {
    let options = GeneratorOptions { precision: DType::F32.into(), engine: options(context) };
    Generator::new(backend, &built_in::open().unwrap(), options, &mut |_, _| {}).unwrap()
}

/// An engine of the same model, without the generator's texts.
fn engine_of(g: &Generator) -> Engine {
    Engine::new(g.engine().model().clone(), options(g.engine().plan().context)).unwrap()
}

fn official(generator: &mut Generator) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chat_template.jinja");
    generator.text.template = Some(Template::new(&std::fs::read_to_string(file).unwrap()).unwrap());
}

fn conversation(thinking: Option<bool>) -> Conversation {
    Conversation::new(None, Told { generation_prompt: true, thinking, ..Told::default() })
}

fn at_most(max_tokens: usize) -> GenerationOptions {
    GenerationOptions { sampling: Sampling::greedy(), max_tokens, stop: Vec::new(), stop_at: StopAt::StopId }
}

/// One turn: its timing, its answer, all tokens so far, and the bits of the logits after the last.
struct Turn {
    timing: Timing,
    finish: Option<Finish>,
    said: String,
    tokens: Vec<u32>,
    bits: Vec<u32>,
}

impl Turn {
    /// All tokens that the model computed: every token but the last.
    fn computed(&self) -> usize {
        self.tokens.len() - 1
    }

    fn prompt(&self) -> &[u32] {
        &self.tokens[..self.timing.prompt]
    }
}

/// Asks a question, and takes at most `most` tokens or `pieces` pieces of the answer.
fn ask(g: &mut Generator, c: &mut Conversation, question: &str, (max_tokens, pieces): (usize, usize)) -> Turn {
    let mut stream = c.say(g, question, &at_most(max_tokens)).unwrap();
    let said: String = stream.by_ref().take(pieces).map(Result::unwrap).collect();
    let (timing, finish) = (stream.timing(), stream.finish());
    drop(stream);
    let id = c.sequence().unwrap();
    let logits = g.engine().logits(id).unwrap().unwrap();
    assert!(g.engine().is_kept(id) && g.engine().is_idle() && g.is_idle());
    let bits = logits.into_iter().map(f32::to_bits).collect();
    Turn { timing, finish, said, tokens: g.engine().tokens(id).unwrap().to_vec(), bits }
}

/// The tokens and the last logits' bits of a turn's prompt, from an engine without reuse.
fn from_scratch(engine: &mut Engine, g: &Generator, turn: &Turn) -> (Vec<u32>, Vec<u32>) {
    let (prompt, max_tokens) = (turn.prompt().to_vec(), turn.timing.generated);
    let request = Request {
        prompt,
        sampling: Sampling::greedy(),
        max_tokens,
        stop: g.text.stop.ids.clone(),
        at_end: AtEnd::Keep,
    };
    let id = engine.add(request).unwrap();
    while engine.is_running(id) {
        engine.step().unwrap();
    }
    let result = (engine.tokens(id).unwrap().to_vec(), engine.logits(id).unwrap().unwrap());
    engine.cancel(id);
    (result.0, result.1.into_iter().map(f32::to_bits).collect())
}

#[test]
fn a_turn_reuses_all_that_is_computed_of_the_last() {
    for (name, backend) in backends() {
        let (mut g, mut c) = (generator(&backend, 256), conversation(None));
        let mut fresh = engine_of(&g);
        let mut computed = 0;
        for question in QUESTIONS {
            let turn = ask(&mut g, &mut c, question, (9, usize::MAX));
            assert_eq!((turn.timing.reused, turn.timing.generated), (computed, 9), "{name}: {question}");
            let text = g.text.tokenizer.decode(turn.prompt(), SpecialTokens::Show);
            assert!(text.ends_with(&format!("{question}<|im_end|>\n<|im_start|>assistant\n")), "{name}: {text}");
            computed = turn.computed();
            // The cpu backend computes the same for a token, given or sampled.
            if name == "cpu" {
                assert!(from_scratch(&mut fresh, &g, &turn) == (turn.tokens, turn.bits), "{question}");
            }
        }
    }
}

#[test]
fn a_conversation_whose_memory_was_taken_answers_with_the_same_bits() {
    for (name, backend) in backends() {
        let turns = [0, 1].map(|between: usize| {
            let (mut g, mut c) = (generator(&backend, 128), conversation(None));
            let mut turns = Vec::new();
            for question in QUESTIONS {
                let turn = ask(&mut g, &mut c, question, (9, usize::MAX));
                turns.push(turn);
                for _ in 0..between {
                    let other = "Once upon a time there was a cat who had a dog. ".repeat(8);
                    assert!(g.stream(&other, &at_most(2)).unwrap().all(|piece| piece.is_ok()));
                }
            }
            turns
        });
        for (kept, taken) in turns[0].iter().zip(&turns[1]) {
            assert_eq!(taken.timing.reused, 0, "{name}: its memory was not taken");
            assert!(kept.tokens == taken.tokens && kept.bits == taken.bits, "{name}: {} | {}", kept.said, taken.said);
        }
        assert!(turns[0][1].timing.reused > 0, "{name}");
    }
}

#[test]
fn where_the_template_rewrites_the_past_the_unchanged_beginning_is_reused() {
    for (name, backend) in backends() {
        let (mut g, mut c) = (generator(&backend, 256), conversation(Some(true)));
        let mut fresh = engine_of(&g);
        official(&mut g);
        let mut stable = 0;
        for question in QUESTIONS {
            let turn = ask(&mut g, &mut c, question, (9, usize::MAX));
            let text = g.text.tokenizer.decode(turn.prompt(), SpecialTokens::Show);
            assert!(text.ends_with("<|im_start|>assistant\n<think>\n") && !text.contains("Cats"), "{name}: {text}");
            assert_eq!(text.matches("A cat is an animal.").count(), (c.messages.len() - 1) / 2, "{name}: {text}");
            assert_eq!(turn.timing.reused, stable, "{name}: {question}");
            assert!(from_scratch(&mut fresh, &g, &turn) == (turn.tokens, turn.bits), "{name}: {question}");
            stable =
                g.text.tokenizer.encode(text.strip_suffix("<|im_start|>assistant\n<think>\n").unwrap()).unwrap().len();
            c.messages.last_mut().unwrap().content = "Cats are nice, I think.\n</think>\n\nA cat is an animal.".into();
        }
    }
}

#[test]
fn an_answer_that_is_taken_back_costs_no_more_than_itself() {
    for (name, backend) in backends() {
        let (mut g, mut c) = (generator(&backend, 256), conversation(None));
        let mut fresh = engine_of(&g);
        let first = ask(&mut g, &mut c, QUESTIONS[0], (9, usize::MAX));
        c.messages.last_mut().unwrap().content = "Something else altogether. ".into();
        let second = ask(&mut g, &mut c, QUESTIONS[1], (9, usize::MAX));
        assert_eq!(second.timing.reused, first.timing.prompt, "{name}");
        assert!(from_scratch(&mut fresh, &g, &second) == (second.tokens, second.bits), "{name}");
    }
}

#[test]
fn an_interrupted_answer_stays_and_is_gone_on_from() {
    for (name, backend) in backends() {
        let (mut g, mut c) = (generator(&backend, 256), conversation(None));
        let mut fresh = engine_of(&g);
        let first = ask(&mut g, &mut c, QUESTIONS[0], (100, 5));
        assert_eq!((first.finish, first.timing.generated), (None, 5), "{name}: {}", first.said);
        let second = ask(&mut g, &mut c, QUESTIONS[1], (9, usize::MAX));
        assert_eq!(second.timing.reused, first.computed(), "{name}");
        let text = g.text.tokenizer.decode(second.prompt(), SpecialTokens::Show);
        assert!(text.contains(&format!("{}<|im_end|>\n<|im_start|>user", first.said)), "{name}: {text}");
        if name == "cpu" {
            assert!(from_scratch(&mut fresh, &g, &second) == (second.tokens, second.bits));
        }
    }
}

#[test]
fn a_full_context_ends_the_answer_and_refuses_the_next_question() {
    for (name, backend) in backends() {
        let (mut g, mut c) = (generator(&backend, 48), conversation(None));
        let turn = ask(&mut g, &mut c, QUESTIONS[0], (usize::MAX, usize::MAX));
        assert_eq!((turn.finish, turn.tokens.len()), (Some(Finish::Length), 48), "{name}: {}", turn.said);
        let Err(Error::Request(what)) = c.say(&mut g, QUESTIONS[1], &at_most(9)).map(drop) else { panic!("{name}") };
        assert!(what.contains("context of 48") && what.contains("--context"), "{name}: {what}");
        assert_eq!(c.messages.len(), 2, "{name}: the refused question is not part of the conversation");
        c.clear(&mut g);
        let again = ask(&mut g, &mut c, QUESTIONS[0], (usize::MAX, usize::MAX));
        assert!(again.tokens == turn.tokens && again.bits == turn.bits && again.timing.reused == 0, "{name}");
    }
}

#[test]
fn the_oldest_question_is_dropped_with_its_answer() {
    let (_, backend) = backends().remove(0);
    let (mut g, mut c) = (generator(&backend, 256), Conversation::new(Some("Be kind.".into()), Told::default()));
    for question in QUESTIONS {
        ask(&mut g, &mut c, question, (4, usize::MAX));
    }
    let whole = c.prompt(&g, "Why?").unwrap();
    let roles = |c: &Conversation| c.messages.iter().map(|message| message.role.clone()).collect::<Vec<_>>();
    assert!(c.drop_oldest());
    assert_eq!(roles(&c), ["system", "user", "assistant", "user", "assistant"]);
    assert_eq!(c.messages[1].content, QUESTIONS[1]);
    let rest = c.prompt(&g, "Why?").unwrap();
    assert!(whole.contains(QUESTIONS[0]) && !rest.contains(QUESTIONS[0]) && rest.contains("Why?"), "{rest}");
    assert!(c.drop_oldest() && c.drop_oldest() && !c.drop_oldest());
    assert_eq!(roles(&c), ["system"]);
}

#[test]
fn sequences_that_are_over_are_errors_and_no_panics() {
    let (_, backend) = backends().remove(0);
    let (mut g, mut c) = (generator(&backend, 48), conversation(None));
    ask(&mut g, &mut c, QUESTIONS[0], (2, usize::MAX));
    let mut engine = engine_of(&g);
    let request = Request {
        prompt: vec![1, 2],
        sampling: Sampling::greedy(),
        max_tokens: 1,
        stop: [].into(),
        at_end: AtEnd::Keep,
    };
    let id = engine.add(request.clone()).unwrap();
    engine.cancel(id);
    let Err(Error::Request(what)) = engine.resume(id, request) else { panic!("resumed") };
    assert!(what.contains("is over"), "{what}");
    assert!(!engine.snapshot(id).unwrap());
    engine.interrupt(id);
    engine.cancel(id);
    let id = c.sequence().unwrap();
    g.cancel(id);
    g.cancel(id);
    // The conversation itself continues from its messages.
    assert_eq!(ask(&mut g, &mut c, QUESTIONS[1], (2, usize::MAX)).timing.reused, 0);
}
