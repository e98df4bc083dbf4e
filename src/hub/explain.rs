//! Explains a failed download: the cause and the remedy.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use super::{
    HubOptions, RepoSpec,
    client::{Failure, Refusal},
    proxy::ProxyVariable,
};
use crate::Error;

/// Says that the hub has no repository of this name.
pub(super) const NOT_FOUND: &str = "no such repository";

/// An error with the repository, the file, the cause and the remedy.
pub(super) fn explain(spec: &RepoSpec, options: &HubOptions, file: &str, failure: Failure) -> Error {
    let why = match &failure {
        Failure::Local(error) => {
            let cause = local(error);
            format!("{cause} in {}: {error}. What has come so far is kept", options.cache.display())
        }
        Failure::Broken(why) => {
            format!("the connection broke: {why}. Run the same command again: it resumes the download")
        }
        Failure::Stalled(limit) => format!(
            "stalled: no byte came for {} s. Run the same command again: it resumes the download. {} sets this time",
            limit.time(options).as_secs_f64(),
            limit.variable()
        ),
        Failure::Unreached(why) => unreached(options, why),
        Failure::Refused(refusal) => refused(spec, options, file, refusal),
        Failure::Strange(why) => {
            format!("{} does not answer as a model hub does: {why}. Check HF_ENDPOINT", options.endpoint)
        }
    };
    failed(spec, file, why)
}

/// An error about a file, or about the repository if `file` is empty.
pub(super) fn failed(spec: &RepoSpec, file: &str, why: String) -> Error {
    let what = if file.is_empty() { spec.to_string() } else { named(spec, file) };
    Error::Download { what, why }
}

/// A file of a repository in messages.
pub(super) fn named(spec: &RepoSpec, file: &str) -> String {
    match spec.revision.as_str() {
        super::spec::MAIN => format!("{}/{file}", spec.name),
        revision => format!("{}@{revision}/{file}", spec.name),
    }
}

/// A failure in a few words, for the line that says that another attempt follows.
pub(super) fn briefly(options: &HubOptions, failure: &Failure) -> String {
    match failure {
        Failure::Refused(Refusal { status: 429, .. }) => "the hub asks to wait (HTTP status 429)".into(),
        Failure::Refused(refusal) => format!("the hub answers with HTTP status {}", refusal.status),
        Failure::Stalled(limit) => format!("stalled for {} s", limit.time(options).as_secs_f64()),
        Failure::Broken(_) => "the connection broke".into(),
        Failure::Unreached(why) | Failure::Strange(why) => why.clone(),
        Failure::Local(error) => error.to_string(),
    }
}

fn unreached(options: &HubOptions, cause: &str) -> String {
    let (proxy, certificates) = (ProxyVariable::of(&options.endpoint), &options.variables.certificates);
    let advice = match (cause.contains("certificate"), certificates, &proxy) {
        (true, Some(variable), _) => {
            format!(
                "The certificate of what answers is not among those of {variable}: add it there, or unset {variable}"
            )
        }
        // Only well-known authorities are trusted, not this machine's certificate store.
        (true, None, _) => {
            "Something between here and the hub replaces certificates: set SSL_CERT_FILE to a file with its certificate"
                .into()
        }
        (false, _, Some(proxy)) => format!(
            "Check {}, or add the hub's host to NO_PROXY; what is complete in the cache runs without",
            proxy.variable
        ),
        (false, _, None) => "Check the network and HF_ENDPOINT; what is complete in the cache runs without".into(),
    };
    let way = proxy.map_or_else(String::new, |proxy| format!(" through the proxy {}", proxy.address));
    format!("no connection to {}{way}: {cause}. {advice}", options.endpoint)
}

fn refused(spec: &RepoSpec, options: &HubOptions, file: &str, refusal: &Refusal) -> String {
    let page = format!("{}/{}", options.endpoint, spec.name);
    let set_token = format!("set HF_TOKEN to an access token ({}/settings/tokens)", options.endpoint);
    let code = refusal.code.as_deref().unwrap_or_default();
    let advice = match (refusal.status, &options.token, code) {
        (401 | 403, None, "GatedRepo") | (403, None, _) => {
            format!("the model is gated. Accept its terms at {page} and {set_token}")
        }
        (401, None, _) => format!(
            "there is {NOT_FOUND}, or it is private or gated. Check the name; for a gated model accept its terms \
             at {page} and {set_token}"
        ),
        (401, Some(_), "" | "Unauthorized") => {
            "the access token was not accepted. Check HF_TOKEN, and the repository's name".into()
        }
        (404, _, "EntryNotFound") => format!("the repository has no such file. {page}/tree/main lists its files"),
        (404, _, "RevisionNotFound") => {
            format!("the repository has no revision {}. {page}/branches lists them", spec.revision)
        }
        (401 | 404, _, _) if file.is_empty() || code == "RepoNotFound" || !super::spec::is_gguf(file) => {
            format!("{NOT_FOUND} or revision. Check the name at {page}")
        }
        (401 | 404, _, _) => format!("{NOT_FOUND}, revision or file. Check the names at {page}"),
        (403, Some(_), _) => format!(
            "the access token's account may not read it. Accept the model's terms at {page}, or use another token"
        ),
        (416, ..) => "the hub has fewer bytes than it promised: the file has changed. Try again later".into(),
        (429, ..) => format!(
            "the hub asks this machine to send fewer requests{}: what has come so far is kept. With an access token the \
             limit is higher: {set_token}",
            refusal.pause.map_or(String::new(), wait)
        ),
        (408 | 500.., ..) => "the hub is busy or down. Try again later: what has come so far is kept".into(),
        _ => "an answer that a model hub does not give. Check HF_ENDPOINT".into(),
    };
    format!("HTTP status {}: {advice}", refusal.status)
}

fn wait(pause: Duration) -> String {
    format!(". Try again in {} s", pause.as_secs())
}

/// The cause of an error of this machine.
fn local(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free some space, or set HF_HOME to a directory on another disk;",
        ErrorKind::QuotaExceeded => "the disk quota is used up: free some space, or set HF_HOME elsewhere;",
        ErrorKind::FileTooLarge => "the file system takes no file of this size: set HF_HOME to a directory on another;",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "no permission to write: set HF_HOME to another directory;"
        }
        _ => "the cache could not be written: set HF_HOME to another directory;",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::SetBy;

    #[test]
    fn the_file_of_certificates_that_is_set_is_named() {
        let mut options = HubOptions::new("https://hub.example", "cache");
        let cause = "invalid peer certificate: UnknownIssuer";
        assert!(unreached(&options, cause).contains("set SSL_CERT_FILE to a file"));
        options.variables = SetBy { certificates: Some("REQUESTS_CA_BUNDLE"), ..SetBy::default() };
        let text = unreached(&options, cause);
        assert!(text.contains("not among those of REQUESTS_CA_BUNDLE") && !text.contains("SSL_CERT_FILE"), "{text}");
    }
}
