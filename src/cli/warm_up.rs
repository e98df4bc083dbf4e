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
    let bar = bar.clone();
    telling(PATIENCE, move || bar.suspend(|| note("preparing the device: the first time, it compiles shaders")), work)
}

/// Runs work; tells something once if the work takes longer than a time.
fn telling<T>(after: Duration, tell: impl FnOnce() + Send + 'static, work: impl FnOnce() -> T) -> T {
    let (running, ended) = channel::<()>();
    let teller = thread::spawn(move || {
        if ended.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
            tell();
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn only_what_takes_long_is_told_of() {
        let (told, heard) = channel();
        let tell = move || told.send("long").expect("the test listens");
        assert_eq!(telling(Duration::ZERO, tell, || heard.recv()), Ok("long"));
        let never = || panic!("told of work that was short");
        assert_eq!(telling(Duration::from_secs(3600), never, || 7), 7);
    }

    #[test]
    fn a_gpu_compiles_and_the_cores_of_the_host_do_not() {
        let kinds = [DeviceKind::Discrete, DeviceKind::Integrated, DeviceKind::Software];
        assert!(kinds.into_iter().all(|kind| compiles(&Caps::typical("wgpu", kind))) && compiles(&Caps::apple()));
        assert!(!compiles(&Caps::typical("cpu", DeviceKind::Cpu)));
    }
}
