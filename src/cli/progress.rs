//! Progress bars, shown only on a terminal.

use std::{
    fmt::Write,
    io::{IsTerminal, stderr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bimetal::low_level::hub::{DownloadEvent, size_text};
use indicatif::{HumanDuration, ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

use super::{
    output::{is_quiet, note},
    rate::Rate,
};

/// For a file during its download, in bytes.
const DOWNLOADING: &str = "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes} {rate}";
/// How often a bar is drawn while nothing comes, so that a stall shows.
const TICK: Duration = Duration::from_millis(500);
/// For loading weights, in bytes.
const LOADING: &str = "loading {bar:40} {binary_bytes} of {binary_total_bytes}, {eta} left";
/// For quantizing weights, in bytes.
pub const QUANTIZING: &str = "quantizing {bar:40} {binary_bytes} of {binary_total_bytes}, {eta} left";
/// For scoring a text, in ids.
pub const SCORING: &str = "scoring {bar:40} {human_pos} of {human_len} ids, {per_sec}: {eta} left";
/// For the runs of a measurement, in units of effort.
pub const MEASURING: &str = "measuring {bar:20} {percent} %, {left}: {wide_msg}";

/// A bar on standard error that disappears when dropped; hidden if standard error is not a terminal.
pub fn bar(template: &'static str, length: u64) -> ProgressBar {
    if is_quiet() || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_style(style(template)).with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(TICK);
    bar
}

/// Bytes of weights that load in no time, so that a bar would only flash.
const FEW: u64 = 64 << 20;

/// Shows the loading of weights, unless they are few.
#[derive(Default)]
pub struct Loading(Option<ProgressBar>);

impl Loading {
    /// So many bytes of all are loaded.
    pub fn show(&mut self, done: u64, total: u64) {
        if total >= FEW {
            let bar = self.0.get_or_insert_with(|| bar(LOADING, total));
            bar.set_position(done);
        }
    }
}

/// The time that a measurement still takes, at the speed of all that is done. Its runs are few and long: an average of
/// the last moments would swing.
fn left(state: &ProgressState, text: &mut dyn Write) {
    let (done, all) = (state.pos(), state.len().unwrap_or(0));
    let told = match done {
        0 => write!(text, "first run"),
        _ => {
            let left = state.elapsed().mul_f64(all.saturating_sub(done) as f64 / done as f64);
            write!(text, "about {:#} left", HumanDuration(left))
        }
    };
    // A bar that is not drawn is no reason to end a measurement.
    let _ = told;
}

/// Shows a download: one bar per file on a terminal, and elsewhere one line at its beginning and one at its end.
pub struct Download {
    bars: bool,
    file: String,
    bar: Option<(ProgressBar, Arc<Mutex<Rate>>)>,
    /// When files began to come.
    started: Option<Instant>,
}

impl Download {
    /// `hidden` shows no bars even on a terminal.
    pub fn new(hidden: bool) -> Self {
        Self { bars: !hidden && stderr().is_terminal(), file: String::new(), bar: None, started: None }
    }

    /// Whether there was anything to download.
    pub fn has_begun(&self) -> bool {
        self.started.is_some()
    }

    /// Shows an event.
    pub fn show(&mut self, event: DownloadEvent<'_>) {
        match event {
            DownloadEvent::Begin { model, files, bytes, directory } => {
                self.started = Some(Instant::now());
                let files = if files == 1 { "1 file".into() } else { format!("{files} files") };
                note(&format!("downloading {model}: {files}, {}, to {}", size_text(bytes), directory.display()));
            }
            DownloadEvent::Received { file, done, total } if self.bars => self.advance(file, done, total),
            DownloadEvent::Received { .. } => {}
            DownloadEvent::Retry { file, why, pause } => {
                let when = if pause.is_zero() { String::new() } else { format!(" in {} s", pause.as_secs_f32()) };
                let line = format!("{file}: {why}, trying again{when}");
                match &self.bar {
                    Some((bar, _)) => bar.suspend(|| note(&line)),
                    None => note(&line),
                }
            }
            DownloadEvent::End { model, bytes } => {
                self.bar = None;
                let time = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
                note(&format!("downloaded {model}: {} in {time:.1} s", size_text(bytes)));
            }
        }
    }

    fn advance(&mut self, file: &str, done: u64, total: u64) {
        if self.file != file {
            file.clone_into(&mut self.file);
            self.bar = None;
        }
        let (bar, rate) = self.bar.get_or_insert_with(|| resumed(file, done, total));
        rate.lock().unwrap_or_else(PoisonError::into_inner).advance(Instant::now(), done);
        bar.set_position(done);
    }
}

/// The bar of a file that begins with what an earlier run has left.
fn resumed(file: &str, done: u64, total: u64) -> (ProgressBar, Arc<Mutex<Rate>>) {
    let rate = Arc::new(Mutex::new(Rate::new(Instant::now(), done, total)));
    let bar = bar(DOWNLOADING, total).with_message(short(file)).with_finish(ProgressFinish::AndLeave);
    let shown = rate.clone();
    let text = move |_: &ProgressState, line: &mut dyn Write| {
        let rate = shown.lock().unwrap_or_else(PoisonError::into_inner);
        // A line that cannot be formatted is shown without it.
        let _ = line.write_str(&rate.text(Instant::now()));
    };
    bar.set_style(style(DOWNLOADING).with_key("rate", text));
    (bar, rate)
}

/// A file's name; only the end of a long name.
fn short(file: &str) -> String {
    match file.char_indices().rev().nth(29) {
        Some((at, _)) if at > 0 => format!("..{}", &file[at..]),
        _ => file.into(),
    }
}

fn style(template: &'static str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("templates are constants, and the tests parse each");
    style.with_key("left", left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_at_its_beginning() {
        assert_eq!(short("model.safetensors"), "model.safetensors");
        assert_eq!(short("model.safetensors-00001-of-00002.safetensors"), "..ors-00001-of-00002.safetensors");
    }

    #[test]
    fn the_templates_are_understood() {
        [DOWNLOADING, LOADING, MEASURING, QUANTIZING, SCORING].into_iter().for_each(|template| drop(style(template)));
    }
}
