//! How likely a text is.

use std::{ops::ControlFlow, sync::Arc};

use super::{PROMPT, generator};
use bimetal::{
    Backend, Error,
    low_level::compute::cpu::Cpu,
    measure::perplexity::{Cut, Passage, Side, perplexity},
};

#[test]
fn a_text_is_scored_token_by_token_as_perplexity_scores_it() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let g = generator(&backend, 1);
    let found = g.score(PROMPT).unwrap();
    let passage = Passage::windows(PROMPT, &g.text.tokenizer, Cut::apart(64), usize::MAX).unwrap();
    assert_eq!(found.len(), passage.ids.len() - 1);
    assert!(found.iter().all(|log_probability| *log_probability <= 0.0));
    let side = Side { model: g.engine().model().clone(), kv: g.engine().plan().kv };
    let whole = perplexity(&side, &passage, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let mean = -found.iter().sum::<f64>() / found.len() as f64;
    assert!((mean - whole.nll.value).abs() < 1e-12, "{mean} {}", whole.nll.value);
}

#[test]
fn what_the_model_was_made_to_say_is_likelier_than_its_words_in_disorder() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let g = generator(&backend, 1);
    let sum = |text| g.score(text).unwrap().iter().sum::<f64>();
    assert!(
        sum("Once upon a time, there was a little girl.") > sum("Upon girl little a was time, there a once.") + 10.0
    );
}

#[test]
fn a_text_of_one_token_has_nothing_to_score() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let Err(Error::Request(what)) = generator(&backend, 1).score("a") else { panic!("one token was scored") };
    assert!(what.contains("1 ids"), "{what}");
}
