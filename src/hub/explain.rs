//! Explains a download error: the cause and the remedy.

use std::io::{self, ErrorKind};

use hf_hub::api::sync::ApiError;

use super::{HubOptions, RepoSpec};
use crate::Error;

/// The HTTP status of the hub's answer, if the error is one.
pub(super) fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    }
}

/// Whether resuming may help: the connection broke, and the error is not local.
pub(super) fn is_interruption(error: &ApiError) -> bool {
    match error {
        ApiError::IoError(error) => local(error).is_none(),
        ApiError::RequestError(_) => status(error).is_none(),
        _ => false,
    }
}

/// An error with the repository, the file, the cause and the remedy.
pub(super) fn explain(spec: &RepoSpec, options: &HubOptions, file: &str, error: ApiError) -> Error {
    let what = if file.is_empty() { spec.to_string() } else { format!("{spec}/{file}") };
    let why = match &error {
        ApiError::IoError(error) => match local(error) {
            Some(cause) => format!("{cause} in {}: {error}. What has come so far is kept", options.cache.display()),
            None => format!("the connection broke: {error}. Run the same command again: it resumes the download"),
        },
        ApiError::LockAcquisition(path) => {
            format!("another process is downloading this file (it holds {}): wait for it", path.display())
        }
        ApiError::RequestError(request) => match status(&error) {
            Some(status) => answered(spec, options, status),
            None => unreached(options, &request.to_string()),
        },
        error => format!("{} does not answer as a model hub does: {error}. Check HF_ENDPOINT", options.endpoint),
    };
    Error::Download { what, why }
}

fn unreached(options: &HubOptions, cause: &str) -> String {
    let advice = match cause.contains("certificate") {
        // Only well-known authorities are trusted, not this machine's certificate store.
        true => {
            "Something between here and the hub replaces certificates: fetch the model into the cache with the hub's \
                 own tool, or set HF_ENDPOINT to a mirror"
        }
        false => "Check the network and HF_ENDPOINT; what is complete in the cache runs without",
    };
    format!("no connection to {}: {cause}. {advice}", options.endpoint)
}

fn answered(spec: &RepoSpec, options: &HubOptions, status: u16) -> String {
    let page = format!("{}/{}", options.endpoint, spec.name);
    let advice = match (status, &options.token) {
        (401, None) => format!(
            "there is no such repository, or it is private or gated. Check the name; for a gated model accept its terms \
             at {page} and set HF_TOKEN to an access token"
        ),
        (401, Some(_)) => "the access token was not accepted. Check HF_TOKEN, and the repository's name".into(),
        (403, None) => format!("the model is gated. Accept its terms at {page} and set HF_TOKEN to an access token"),
        (403, Some(_)) => {
            format!(
                "the access token's account may not read it. Accept the model's terms at {page}, or use another token"
            )
        }
        (404, _) => format!("no such repository or revision. Check the name at {page}"),
        (429 | 500.., _) => "the hub is busy or down. Try again later: what has come so far is kept".into(),
        _ => "an answer that a model hub does not give. Check HF_ENDPOINT".into(),
    };
    format!("HTTP status {status}: {advice}")
}

/// The cause of a local error; `None` for an error of the connection.
fn local(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free some space, or set HF_HOME to a directory on another disk;",
        ErrorKind::QuotaExceeded => "the disk quota is used up: free some space, or set HF_HOME elsewhere;",
        ErrorKind::FileTooLarge => "the file system takes no file of this size: set HF_HOME to a directory on another;",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => "no permission to write",
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "the cache could not be written",
        _ => return None,
    })
}
