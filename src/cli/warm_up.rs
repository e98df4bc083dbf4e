//! Compiles what a device compiles when it first runs it, so that this is no part of a text's time.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use bimetal::{
    GenerationOptions, Generator,
    low_level::{compute::caps::DeviceKind, generate::StopAt},
};

use super::output::note;

/// After this time the user is told what takes so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Writes a few tokens that nobody sees, sampled as the text will be. Some drivers compile a shader only when it runs.
pub fn warm_up(generator: &mut Generator, options: &GenerationOptions) {
    if generator.engine().model().backend.caps().kind == DeviceKind::Cpu {
        return;
    }
    let (running, ended) = channel::<()>();
    let teller = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            note("preparing the device: the first time, it compiles shaders");
        }
    });
    // A prompt step, a decode step, and one that follows it on the device.
    let few = GenerationOptions { max_tokens: 3, stop: Vec::new(), stop_at: StopAt::Length, ..options.clone() };
    let outcome = generator.stream("a", &few).and_then(|mut stream| stream.try_for_each(|piece| piece.map(drop)));
    if let Err(why) = outcome {
        // It appears again in the text that the user waits for.
        log::debug!("not warmed up: {why}");
    }
    drop(running);
    if teller.join().is_err() {
        log::debug!("nobody told about the shaders");
    }
}
