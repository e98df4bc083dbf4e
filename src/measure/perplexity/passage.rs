//! Which ids of a text are scored, and with which context.

#[cfg(feature = "text")]
mod text;

use std::{ops::Range, path::Path};

use crate::error::{Error, Result};

/// Ids computed from an empty state. Each id but the last runs with the ids before it as context.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// Range of ids in the text.
    pub ids: Range<usize>,
    /// Number of scored ids, counted from the end: at most all but the first.
    pub scored: usize,
}

/// How to split ids into windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Ids that a window computes. The window has one more, whose logits are not needed.
    pub window: u32,
    /// Ids from the start of one window to the start of the next, which scores only new ids.
    pub stride: u32,
}

/// A text as ids, and the windows that score it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passage {
    /// All ids.
    pub ids: Vec<u32>,
    /// The windows, in order.
    pub windows: Vec<Window>,
    /// Number of independent documents.
    pub documents: usize,
}

impl Cut {
    /// Windows without overlap.
    pub fn apart(window: u32) -> Self {
        Self { window, stride: window }
    }

    /// The windows of a range of ids: they score every id but the first exactly once.
    fn windows(self, all: Range<usize>) -> impl Iterator<Item = Window> {
        let (window, stride, last) = (self.window as usize, self.stride as usize, all.end.saturating_sub(1));
        let ends = move |start: usize| (start + window).min(last);
        let starts = (all.start..last).step_by(stride);
        // The first window that reaches the end is the last.
        starts.take_while(move |start| *start == all.start || ends(start - stride) < last).map(move |start| {
            let before = if start == all.start { start } else { ends(start - stride) };
            Window { ids: start..ends(start) + 1, scored: ends(start) - before }
        })
    }
}

impl Passage {
    /// Ids in windows that ignore document boundaries.
    ///
    /// # Errors
    /// [`Error::Request`] for fewer than two ids, which have nothing to score.
    pub fn of_ids(ids: Vec<u32>, cut: Cut) -> Result<Self> {
        if ids.len() < 2 {
            let what = "and the first id of a window is not scored: at least 2 are needed, so give more text";
            return Err(Error::Request(format!("the text has {} ids, {what}", ids.len())));
        }
        let windows = cut.windows(0..ids.len()).collect();
        Ok(Self { ids, windows, documents: 1 })
    }

    /// Number of scored ids.
    pub fn scored(&self) -> usize {
        self.windows.iter().map(|window| window.scored).sum()
    }

    /// Tokens of the longest window: the required capacity of a cache.
    pub fn longest(&self) -> u32 {
        self.windows.iter().map(|window| window.ids.len() as u32 - 1).max().unwrap_or(0)
    }
}

/// The text in a file's bytes.
///
/// # Errors
/// [`Error::Format`] with the file name if the file is empty or not UTF-8.
pub fn utf8(bytes: Vec<u8>, file: &Path) -> Result<String> {
    let refused = |what: String| Error::Format { file: file.into(), what };
    if bytes.is_empty() {
        return Err(refused("it is empty; give a text to score".into()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refused(format!("byte {at} is not UTF-8, as a text has to be; convert it first"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(cut: Cut, ids: Range<usize>) -> Vec<(Range<usize>, usize)> {
        cut.windows(ids).map(|window| (window.ids, window.scored)).collect()
    }

    #[test]
    fn windows_share_one_id() {
        assert_eq!(windows(Cut::apart(4), 0..10), [(0..5, 4), (4..9, 4), (8..10, 1)]);
        // A window that ends with the text is the last.
        assert_eq!(windows(Cut::apart(4), 0..9), [(0..5, 4), (4..9, 4)]);
        assert_eq!(windows(Cut::apart(4), 3..5), [(3..5, 1)]);
        assert_eq!(windows(Cut::apart(4), 3..4), []);
    }

    #[test]
    fn windows_that_overlap_score_what_is_new() {
        let cut = Cut { window: 4, stride: 3 };
        assert_eq!(windows(cut, 0..10), [(0..5, 4), (3..8, 3), (6..10, 2)]);
        assert_eq!(windows(cut, 0..8), [(0..5, 4), (3..8, 3)]);
        for (window, stride, ids) in [(7, 1, 50), (8, 3, 41), (5, 5, 23), (64, 9, 10)] {
            let scored: usize = windows(Cut { window, stride }, 0..ids).iter().map(|(_, scored)| scored).sum();
            assert_eq!(scored, ids - 1, "window {window}, stride {stride}");
        }
    }
}
