//! What a download tells its caller. The library itself writes nothing.

use std::{path::Path, time::Duration};

/// An event of a download.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DownloadEvent<'a> {
    /// Files are about to be downloaded.
    Begin {
        /// The model.
        model: &'a str,
        /// Number of files.
        files: usize,
        /// Their bytes, without those that are here from an earlier run.
        bytes: u64,
        /// The directory that keeps them.
        directory: &'a Path,
    },
    /// A part of a file is here.
    Received {
        /// The file.
        file: &'a str,
        /// Its bytes that are here.
        done: u64,
        /// All of its bytes.
        total: u64,
    },
    /// An attempt failed, and another follows.
    Retry {
        /// The file, or the repository.
        file: &'a str,
        /// Why the attempt failed.
        why: &'a str,
        /// The pause before the next attempt.
        pause: Duration,
    },
    /// All files are here.
    End {
        /// The model.
        model: &'a str,
        /// The bytes received.
        bytes: u64,
    },
}

/// Receives the events of a download.
pub type Progress<'a> = dyn FnMut(DownloadEvent<'_>) + 'a;
