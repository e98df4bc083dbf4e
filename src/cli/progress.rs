//! Progress bars, shown only on a terminal.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::output::is_quiet;

/// For a file during its download, in bytes.
const DOWNLOADING: &str = "{msg} [{elapsed_precise}] [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})";
/// For loading weights, in bytes.
pub const LOADING: &str = "loading {bar:40} {binary_bytes} of {binary_total_bytes}";
/// For quantizing weights, in bytes.
pub const QUANTIZING: &str = "quantizing {bar:40} {binary_bytes} of {binary_total_bytes}";
/// For scoring a text, in ids.
pub const SCORING: &str = "scoring {bar:40} {human_pos} of {human_len} ids, {per_sec}: {eta} left";
/// For the steps of a measurement.
pub const MEASURING: &str = "measuring {bar:40} {pos} of {len}: {wide_msg}";

/// A bar on standard error that disappears when dropped; hidden if standard error is not a terminal.
pub fn bar(template: &'static str, length: u64) -> ProgressBar {
    if is_quiet() || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::new(length).with_style(style(template)).with_finish(ProgressFinish::AndClear)
}

/// One bar per downloaded file, in order; finished bars stay on the terminal.
#[derive(Default)]
pub struct FileBars {
    file: String,
    bar: Option<ProgressBar>,
}

impl FileBars {
    /// Shows the received bytes of a file.
    pub fn show(&mut self, file: &str, done: u64, total: u64) {
        if self.file != file {
            file.clone_into(&mut self.file);
            self.bar = None;
        }
        let bar = self.bar.get_or_insert_with(|| {
            bar(DOWNLOADING, total).with_message(short(file)).with_finish(ProgressFinish::AndLeave)
        });
        bar.set_position(done);
    }
}

/// A file's name; only the end of a long name.
fn short(file: &str) -> String {
    match file.char_indices().rev().nth(29) {
        Some((at, _)) if at > 0 => format!("..{}", &file[at..]),
        _ => file.into(),
    }
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("templates are constants, and the tests parse each")
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
