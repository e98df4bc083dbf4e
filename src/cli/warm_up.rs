//! Compiles what a device compiles when it first runs it, so that this is no part of a text's time.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use bimetal::{
    GenerationOptions, Generator,
    low_level::{
        compute::caps::{Caps, DeviceKind},
        generate::StopAt,
    },
};
use indicatif::ProgressBar;

use super::output::note;

/// After this time the user is told what takes so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether a device compiles something when it first runs it.
pub fn compiles(caps: &Caps) -> bool {
    caps.kind != DeviceKind::Cpu
}

/// Runs work for which a device may compile shaders. If it takes long, says so beside a progress bar.
pub fn patiently<T>(caps: &Caps, bar: &ProgressBar, work: impl FnOnce() -> T) -> T {
    if !compiles(caps) {
        return work();
    }
    let ((running, ended), bar) = (channel::<()>(), bar.clone());
    let teller = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            bar.suspend(|| note("preparing the device: the first time, it compiles shaders"));
        }
    });
    let outcome = work();
    drop(running);
    if teller.join().is_err() {
        log::debug!("nobody told about the shaders");
    }
    outcome
}

/// Writes a few tokens that nobody sees, sampled as the text will be. Some drivers compile a shader only when it runs.
pub fn warm_up(generator: &mut Generator, options: &GenerationOptions) {
    let caps = generator.engine().model().backend.caps().clone();
    if !compiles(&caps) {
        return;
    }
    // A prompt step, a decode step, and one that follows it on the device.
    let few = GenerationOptions { max_tokens: 3, stop: Vec::new(), stop_at: StopAt::Length, ..options.clone() };
    let write = || generator.stream("a", &few).and_then(|mut stream| stream.try_for_each(|piece| piece.map(drop)));
    if let Err(why) = patiently(&caps, &ProgressBar::hidden(), write) {
        // It appears again in the text that the user waits for.
        log::debug!("not warmed up: {why}");
    }
}
