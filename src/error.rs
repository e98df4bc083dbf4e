//! The single error type. A variant is something a user can cause or meet; everything else is an assertion.

use std::{fmt, io, path::PathBuf};

/// The result type of the library's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Every failure that is not a programming mistake. Errors name the file, tensor, kernel, device or request.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file has unexpected contents.
    #[error("{}: {what}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What was found, what was expected, and what to do.
        what: String,
    },
    /// A tensor of a checkpoint is missing, or has the wrong shape, the wrong dtype or unusable values.
    #[error("{}: tensor {name}: expected {want}, found {got}", file.display())]
    Tensor {
        /// The checkpoint file or directory.
        file: PathBuf,
        /// The tensor's name in the checkpoint.
        name: String,
        /// The tensor that the configuration requires.
        want: String,
        /// The tensor in the file.
        got: String,
    },
    /// A valid input that this engine does not support.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// The unsupported thing.
        what: String,
        /// The supported alternatives.
        hint: String,
    },
    /// No backend of the requested kind could be opened.
    #[error("no usable backend:{}", list(reasons))]
    NoBackend {
        /// Backend or adapter, with the reason it was rejected.
        reasons: Vec<(String, String)>,
    },
    /// The device or the host lacks the memory for one allocation.
    #[error("out of memory: {label} needs {bytes} bytes{hint}")]
    OutOfMemory {
        /// The purpose of the memory.
        label: String,
        /// The requested size in bytes.
        bytes: u64,
        /// What would fit or help; empty, or starts with a separator.
        hint: String,
    },
    /// A kernel does not compile on this device.
    #[error("kernel {kernel} does not compile on this device: {log}")]
    Shader {
        /// The kernel's name and defines.
        kernel: String,
        /// The compiler's message.
        log: String,
    },
    /// The device was lost, or rejected its input.
    #[error("device failure during {label}: {what}")]
    Device {
        /// The operation that failed.
        label: String,
        /// The driver's message.
        what: String,
    },
    /// The chat template could not be compiled or rendered.
    #[error("chat template: {0}")]
    Template(String),
    /// An invalid request: an empty prompt, a prompt longer than the context, a sampling value out of range.
    #[error("{0}")]
    Request(String),
    /// A model of the hub is not to be had: a download failed, or the cache or the hub has no such model.
    #[error("{what}: {why}")]
    Download {
        /// The repository and file.
        what: String,
        /// What failed, and what to do.
        why: String,
    },
}

/// The message, for programs whose `main` returns [`Result`]: they print errors in this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// An [`Error::Io`] for `path`, to be used with `map_err`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

fn list(reasons: &[(String, String)]) -> String {
    reasons.iter().map(|(who, why)| format!("\n  {who}: {why}")).collect()
}
