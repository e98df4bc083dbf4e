//! Texts on a device that answers late: each way to a text is pending until then, and gives what the blocking way gives.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use bimetal::{
    Backend, Conversation, Generator,
    low_level::compute::{caps::DeviceKind, cpu::Cpu},
};

use super::{PROMPT, alone, finish, generator, options};
use crate::support::late::{Late, polled};

fn late() -> (Arc<Late>, Generator) {
    let late = Arc::new(Late::new(DeviceKind::Discrete));
    let backend: Arc<dyn Backend> = late.clone();
    (late, generator(&backend, 2))
}

fn punctual() -> Generator {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::new(1));
    generator(&backend, 2)
}

#[test]
fn steps_streams_and_scores_are_pending_until_the_device_has_answered() {
    let ((late, mut g), mut on_time) = (late(), punctual());
    let (expected, _) = alone(&mut on_time, PROMPT, &options(Vec::new()));
    g.add(PROMPT, &options(Vec::new())).unwrap();
    let mut said = String::new();
    while !g.is_idle() {
        let (waits, events) = polled(&late, g.step_async());
        assert!(waits > 0);
        events.unwrap().into_iter().for_each(|event| said += &event.text);
    }
    assert_eq!(said, expected);
    let mut stream = g.stream(PROMPT, &options(Vec::new())).unwrap();
    let mut said = String::new();
    while let (_, Some(piece)) = polled(&late, stream.advance_async()) {
        said += &piece.unwrap();
    }
    assert_eq!(said, expected);
    drop(stream);
    let (waits, score) = polled(&late, g.score_async(PROMPT));
    assert!(waits > 0 && score.unwrap() == on_time.score(PROMPT).unwrap());
}

#[test]
fn a_turn_of_a_conversation_is_pending_until_the_device_has_answered() {
    let ((late, mut g), mut on_time) = (late(), punctual());
    let (mut conversation, mut expected) = (Conversation::default(), Conversation::default());
    for question in ["Once upon a time", "And then?"] {
        let answer: String =
            expected.say(&mut on_time, question, &options(Vec::new())).unwrap().map(Result::unwrap).collect();
        let mut stream = polled(&late, conversation.say_async(&mut g, question, &options(Vec::new()))).1.unwrap();
        let mut said = String::new();
        while let (_, Some(piece)) = polled(&late, stream.advance_async()) {
            said += &piece.unwrap();
        }
        drop(stream);
        assert_eq!(conversation.messages, expected.messages);
        assert_eq!(said, answer);
    }
}

/// The texts of a dropped step are over, and that is said once; later texts are not affected.
#[test]
fn a_dropped_step_is_an_error_of_its_texts() {
    let (late, mut g) = late();
    let id = g.add(PROMPT, &options(Vec::new())).unwrap();
    assert!(pin!(g.step_async()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let (_, outcome) = polled(&late, g.step_async());
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("dropped before the device answered"), "{error}");
    assert!(g.is_idle() && !g.engine().is_running(id) && finish(&mut g).is_empty());
    let mut stream = g.stream(PROMPT, &options(Vec::new())).unwrap();
    let mut said = String::new();
    while let (_, Some(piece)) = polled(&late, stream.advance_async()) {
        said += &piece.unwrap();
    }
    drop(stream);
    assert_eq!(said, alone(&mut punctual(), PROMPT, &options(Vec::new())).0);
}
