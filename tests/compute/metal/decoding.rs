//! An engine on the recorder: the device work of decoding, token by token.

use std::{collections::BTreeSet, sync::Arc};

use bimetal::{
    Engine, EngineOptions, Model, Request, Sampling,
    low_level::{compute::dtype::DType, engine::AtEnd, model::weights::Source},
};

use super::Harness;
use crate::support::fixtures::checkpoint;

#[test]
fn a_token_is_one_command_buffer_and_one_wait() {
    let harness = Harness::new();
    harness.driver().script().seconds = 1e-5;
    let checkpoint = checkpoint("tiny-f32");
    let model = Model::load(&harness.backend, &Source::Checkpoint(&checkpoint), DType::F16, &mut |_, _| {}).unwrap();
    let options = EngineOptions { context: Some(128), sequences: 2, ..EngineOptions::default() };
    let mut engine = Engine::new(Arc::new(model), options).unwrap();
    for _ in 0..2 {
        let (prompt, stop) = (vec![1; 20], BTreeSet::new());
        let request = Request { prompt, sampling: Sampling::greedy(), max_tokens: 90, stop, at_end: AtEnd::Free };
        engine.add(request).unwrap();
    }
    // Until prefill is done, and the programs of both output sets are measured.
    for _ in 0..16 {
        engine.step().unwrap();
    }
    let (ahead, before) = (engine.steps_ahead(), counts(&harness));
    for _ in 0..40 {
        assert_eq!(engine.step().unwrap().len(), 2);
    }
    let after = counts(&harness);
    // All steps except those that need a new page, which the host assigns after it has seen the token.
    let ahead = engine.steps_ahead() - ahead;
    assert!((36..=40).contains(&ahead), "{ahead} while the host looked at the last");
    assert_eq!([after[0] - before[0], after[1] - before[1]], [40, 40], "command buffers, waits");
    let in_flight = harness.driver().log().max_in_flight;
    assert!(in_flight >= 2, "{in_flight} under way");
}

/// Numbers of command buffers and waits so far.
fn counts(harness: &Harness) -> [usize; 2] {
    let log = harness.driver().log();
    [log.committed.len(), log.waits.len()]
}
