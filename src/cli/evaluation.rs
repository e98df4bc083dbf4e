//! Shared parts of evaluations: flags for the text, the ids to score, progress and results.

use std::{
    fs,
    io::{Read, stdin},
    iter,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bimetal::{
    Error, Result,
    low_level::{compute::caps::Caps, model::config::Config, text::tokenizer::Tokenizer},
    measure::perplexity::{Cut, Extent, Mean, Passage, Progress, Window, utf8},
};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    figures::{count, counted, fixed},
    interrupt::{self, watch},
    progress::{SCORING, bar},
    table::paragraph,
    values::whole,
    warm_up::{compiles, patiently},
};

/// What some editors write before a text. It is no part of it.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Default window length in ids.
const WINDOW: u32 = 512;

/// Flags for the text and its windows.
#[derive(Args)]
#[command(next_help_heading = "Text")]
pub struct TextArguments {
    /// The text file, UTF-8; standard input if `-`
    #[arg(short = 'f', long, alias = "file", value_name = "FILE")]
    text: PathBuf,
    /// Window length. Each window starts from an empty state, and all its ids except the first are scored. If absent,
    /// 512, or with --documents the model's maximum
    #[arg(short, long, value_name = "IDS", value_parser = whole::<u32>(2..=u64::from(u32::MAX), "the first id of a window is not scored"))]
    window: Option<u32>,
    /// Ids from the start of one window to the start of the next; ids in an overlap are scored only once. The window
    /// length if absent
    #[arg(long, value_name = "IDS", value_parser = whole::<u32>(1..=u64::from(u32::MAX), ""))]
    stride: Option<u32>,
    /// Score each document alone: `<|endoftext|>` stands before and after each document of the text
    #[arg(long)]
    documents: bool,
    /// Only the first ids of the text; all if absent
    #[arg(long, value_name = "IDS", value_parser = whole::<u64>(2..=u64::MAX, "the first id of a window is not scored"))]
    ids: Option<u64>,
}

impl TextArguments {
    /// The text's name in messages.
    fn name(&self) -> &Path {
        if self.is_stdin() { Path::new("standard input") } else { &self.text }
    }

    fn is_stdin(&self) -> bool {
        self.text == Path::new("-")
    }

    /// Reads the text.
    pub fn read(&self) -> Result<String> {
        let bytes = if self.is_stdin() {
            let mut bytes = Vec::new();
            stdin().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            fs::read(&self.text)
        };
        let mut text = utf8(bytes.map_err(Error::io(self.name()))?, self.name())?;
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len_utf8());
        }
        Ok(text)
    }

    /// The windows for a model, from the flags.
    pub fn cut(&self, config: &Config) -> Result<Cut> {
        let usual = if self.documents { config.context } else { WINDOW.min(config.context) };
        let window = self.window.unwrap_or(usual);
        if window > config.context {
            let what = format!("--window {window} is longer than the model was made for");
            return Err(Error::Request(format!("{what}: --window {} at most", config.context)));
        }
        let stride = self.stride.unwrap_or(window);
        if stride > window {
            let what = format!("--stride {stride} would leave out ids between windows of {window}");
            return Err(Error::Request(format!("{what}: --stride {window} at most")));
        }
        Ok(Cut { window, stride })
    }

    /// The ids to score.
    pub fn passage(&self, text: &str, tokenizer: &Tokenizer, cut: Cut) -> Result<Passage> {
        let max_ids = self.ids.map_or(usize::MAX, |ids| usize::try_from(ids).unwrap_or(usize::MAX));
        let made = match self.documents {
            true => Passage::documents(text, tokenizer, cut, max_ids),
            false => Passage::windows(text, tokenizer, cut, max_ids),
        };
        made.map_err(|error| match error {
            Error::Request(what) => Error::Format { file: self.name().into(), what },
            other => other,
        })
    }

    /// A line of text about the windows to score.
    pub fn protocol(&self, passage: &Passage, Cut { window, stride }: Cut) -> String {
        let (windows, ids) = (counted(passage.windows.len(), "window"), counted(passage.ids.len(), "id"));
        let overlap = match stride < window {
            true => format!(
                ", each {after} after the one before; of a window only what follows those before it is scored: its last \
                 {}",
                counted(stride as usize, "id"),
                after = count(stride),
            ),
            false => String::new(),
        };
        let parts = match self.documents {
            true => {
                let documents = counted(passage.documents, "document");
                format!("{documents} between two <|endoftext|> each, in {windows}")
            }
            false => windows,
        };
        let told = format!("{}: {ids}, {parts} of up to {} ids{overlap}\n", self.name().display(), count(window));
        paragraph(&told, 0)
    }

    /// The same as JSON.
    pub fn as_json(&self, passage: &Passage, Cut { window, stride }: Cut) -> Value {
        json!({
            "file": self.name(), "ids": passage.ids.len(), "window": window, "stride": stride,
            "windows": passage.windows.len(), "documents": self.documents.then_some(passage.documents),
        })
    }
}

/// The JSON report of an evaluation: the device, the members of the given objects, progress and speed.
pub fn report<const N: usize>(caps: &Caps, own: [Value; N], (extent, time): (&Extent, Duration)) -> Value {
    let device = json!({ "backend": caps.backend, "device": caps.device, "driver": caps.driver });
    let done = json!({
        "scored": extent.scored, "computed": extent.computed, "complete": extent.complete,
        "seconds": time.as_secs_f64(), "tokens_per_second": rate(extent, time),
    });
    let objects = iter::once(device).chain(own).chain([done]);
    let members = objects.filter_map(|object| if let Value::Object(members) = object { Some(members) } else { None });
    Value::Object(members.flatten().collect())
}

/// Computed ids per second.
pub fn rate(extent: &Extent, time: Duration) -> f64 {
    extent.computed as f64 / time.as_secs_f64()
}

/// Runs an evaluation with a progress bar on a terminal. The first Ctrl-C stops it after the current part. A device
/// compiles its shaders before the time counts.
pub fn timed<T>(
    caps: &Caps,
    passage: &Passage,
    evaluate: impl Fn(&Passage, &mut Progress<'_>) -> Result<T>,
) -> Result<(T, Duration)> {
    let interrupted = Arc::<AtomicBool>::default();
    watch(&interrupted, "interrupted: the figures so far follow; Ctrl-C again ends at once")?;
    let go_on = || if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    if compiles(caps) {
        let few = beginning(passage, caps.tiles.budget as usize);
        patiently(caps, &ProgressBar::hidden(), || evaluate(&few, &mut |_, _| go_on()))?;
    }
    let (bar, started) = (bar(SCORING, 0), Instant::now());
    let outcome = evaluate(passage, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        go_on()
    })?;
    Ok((outcome, started.elapsed()))
}

/// The beginning of a passage's longest window. Its steps have as many rows as those of the whole passage.
fn beginning(passage: &Passage, max_ids: usize) -> Passage {
    let longest = passage.windows.iter().max_by_key(|window| window.ids.len());
    let window = longest.map(|window| {
        let ids = window.ids.start..window.ids.end.min(window.ids.start + max_ids + 1);
        Window { scored: ids.len() - 1, ids }
    });
    Passage { windows: window.into_iter().collect(), ..passage.clone() }
}

/// The error of an interrupted evaluation, reported after its figures.
pub fn require_complete(extent: &Extent, passage: &Passage) -> Result<()> {
    if extent.complete {
        return Ok(());
    }
    let (scored, all) = (extent.scored, passage.scored());
    Err(interrupt::ended(format!("interrupted: the figures are of {scored} of {all} ids")))
}

/// A figure and its error, with two significant digits of the error, but at least `min_places` decimal places.
pub fn figure(mean: Mean, min_places: usize) -> String {
    let places = places(mean.error, min_places);
    format!("{} ± {}", fixed(mean.value, places), fixed(mean.error, places))
}

/// Decimal places for two significant digits of a number.
pub fn places(number: f64, min_places: usize) -> usize {
    let first = if number > 0.0 && number.is_finite() { -number.log10().floor() } else { 0.0 };
    min_places.max((first + 1.0).clamp(0.0, 12.0) as usize)
}

/// A figure and its error as JSON; NaN and infinity become null.
pub fn figure_json(mean: Mean) -> Value {
    json!({ "value": mean.value, "error": mean.error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_show_two_digits_of_their_error() {
        let figure = |value, error, min_places| figure(Mean { value, error }, min_places);
        assert_eq!(figure(2.87831, 0.01234, 4), "2.8783 ± 0.0123");
        assert_eq!(figure(0.000_134_2, 0.000_004_26, 4), "0.0001342 ± 0.0000043");
        assert_eq!(figure(94.0532, 0.1514, 2), "94.05 ± 0.15");
        assert_eq!(figure(0.0, 0.0, 4), "0.0000 ± 0.0000");
        assert_eq!(figure(1.5, f64::INFINITY, 4), "1.5000 ± -");
        assert_eq!(figure(12_345.678, 12.3, 1), "12,345.7 ± 12.3");
    }

    #[test]
    fn a_device_warms_up_on_a_part_of_the_longest_window() {
        let window = |ids: std::ops::Range<usize>| Window { scored: 1, ids };
        let passage = Passage { ids: vec![7; 100], windows: vec![window(0..10), window(10..90)], documents: 2 };
        let windows = |max_ids| beginning(&passage, max_ids).windows;
        assert_eq!(windows(512), [Window { ids: 10..90, scored: 79 }]);
        assert_eq!(windows(16), [Window { ids: 10..27, scored: 16 }]);
        assert_eq!(beginning(&passage, 16).ids, passage.ids);
    }
}
