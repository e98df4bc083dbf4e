//! The one error type. A variant is something a user can cause or meet; everything else is an assertion.

use std::{io, path::PathBuf};

/// What the library's fallible functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong outside of a programming mistake, naming the file, tensor, kernel, device or request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is there but is not what it should be.
    #[error("{}: {what}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What was found, what was expected and what to do about it.
        what: String,
    },
    /// A tensor of a checkpoint is missing, or has another shape, another dtype or unusable values.
    #[error("{}: tensor {name}: expected {want}, found {got}", file.display())]
    Tensor {
        /// The checkpoint file or directory.
        file: PathBuf,
        /// The tensor's name as the checkpoint spells it.
        name: String,
        /// What the configuration asks for.
        want: String,
        /// What the file holds.
        got: String,
    },
    /// Something real that this engine does not run.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What is supported instead.
        hint: String,
    },
    /// No backend of the wanted kind could be opened.
    #[error("no usable backend:{}", list(reasons))]
    NoBackend {
        /// Backend or adapter, and why it was not taken.
        reasons: Vec<(String, String)>,
    },
    /// The device or the host has not enough memory for one allocation.
    #[error("out of memory: {label} needs {bytes} bytes{hint}")]
    OutOfMemory {
        /// What the memory was for.
        label: String,
        /// How much was asked for.
        bytes: u64,
        /// What would fit or help; empty, or starting with a separator.
        hint: String,
    },
    /// A kernel did not compile on this device.
    #[error("kernel {kernel} does not compile on this device: {log}")]
    Shader {
        /// The kernel's name and defines.
        kernel: String,
        /// What the compiler said.
        log: String,
    },
    /// The device was lost, or refused what it was given.
    #[error("device failure during {label}: {what}")]
    Device {
        /// What was being done.
        label: String,
        /// What the driver said.
        what: String,
    },
    /// The chat template could not be compiled or rendered.
    #[error("chat template: {0}")]
    Template(String),
    /// A request that cannot be served: an empty prompt, one longer than the context, a sampling value out of range.
    #[error("{0}")]
    Request(String),
    /// A download failed.
    #[error("download of {what}: {why}")]
    Download {
        /// The repository and file.
        what: String,
        /// What went wrong and what to do about it.
        why: String,
    },
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
