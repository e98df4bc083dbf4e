//! One repository on the hub: its list of files, and facts about a file.

use std::time::Duration;

use super::{
    DownloadEvent, HubOptions, Progress, RepoSpec,
    client::{Answer, Client, Failure, Limit, Refusal},
    explain::{briefly, explain},
    listing::Listing,
    spec::MAIN,
    url,
};
use crate::{Error, Result};

/// A longer pause that a hub asks for is an error.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// Maximum bytes of a list of files.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// One repository on the hub.
pub(super) struct Remote<'a, 'p> {
    pub client: Client<'a>,
    pub spec: &'a RepoSpec,
    pub options: &'a HubOptions,
    pub progress: &'a mut Progress<'p>,
}

/// What the hub says about a file.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub commit: String,
    /// Names the contents: equal contents have equal tags.
    pub tag: String,
    pub size: u64,
}

/// The attempts that are left.
pub(super) struct Patience {
    attempts: u32,
    pause: Duration,
}

impl Patience {
    pub fn new(options: &HubOptions) -> Self {
        Self { attempts: options.attempts, pause: options.pause }
    }

    /// After an attempt that brought something, which does not count.
    pub fn renewed(options: &HubOptions) -> Self {
        Self { attempts: options.attempts.saturating_add(1), pause: options.pause }
    }

    /// The pause before the next attempt; `None` if there should be none.
    pub fn next(&mut self, failure: &Failure) -> Option<Duration> {
        self.attempts = self.attempts.saturating_sub(1);
        let wanted = match failure {
            Failure::Refused(refusal) => refusal.pause,
            _ => None,
        };
        let pause = wanted.unwrap_or(self.pause);
        self.pause *= 2;
        (self.attempts > 0 && pause <= MAX_PAUSE).then_some(pause)
    }
}

impl<'a, 'p> Remote<'a, 'p> {
    /// # Errors
    /// [`Error::Request`] or [`Error::Format`] for an unusable file of certificates or proxy.
    pub fn new(spec: &'a RepoSpec, options: &'a HubOptions, progress: &'a mut Progress<'p>) -> Result<Self> {
        Ok(Self { client: Client::new(options)?, spec, options, progress })
    }

    /// An error about a file of this repository.
    pub fn explain(&self, file: &str, failure: Failure) -> Error {
        explain(self.spec, self.options, file, failure)
    }

    /// Waits for another attempt, or gives up.
    pub fn pause(&mut self, file: &str, failure: Failure, patience: &mut Patience) -> std::result::Result<(), Failure> {
        let pause = self.client.may_pass(&failure).then(|| patience.next(&failure)).flatten();
        let Some(pause) = pause else { return Err(failure) };
        let why = briefly(self.options, &failure);
        log::info!("{}/{file}: {why}: trying again", self.spec.name);
        (self.progress)(DownloadEvent::Retry { file, why: &why, pause });
        std::thread::sleep(pause);
        Ok(())
    }

    /// Repeats a question about a file until it is answered.
    fn answered<T>(
        &mut self,
        file: &str,
        ask: impl Fn(&Client<'a>) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        let mut patience = Patience::new(self.options);
        loop {
            match ask(&self.client) {
                Err(failure) => self.pause(file, failure, &mut patience)?,
                answer => return answer,
            }
        }
    }

    /// The commit and the files of a revision. `None` if this hub has no such list: then either the repository is not
    /// there, or the hub has files and nothing else.
    pub fn listing(&mut self, revision: &str) -> Result<Option<Listing>> {
        let repository = format!("{}/api/models/{}", self.options.endpoint, self.spec.name);
        let exact = self.list(&format!("{repository}/revision/{}?blobs=true", url::part(revision)))?;
        match exact {
            // A simple hub may have a list of the newest files alone.
            None if revision == MAIN => self.list(&format!("{repository}?blobs=true")),
            exact => Ok(exact),
        }
    }

    fn list(&mut self, address: &str) -> Result<Option<Listing>> {
        let name = &self.spec.name;
        let found = self.answered(name, |client| {
            let mut answer = client.get(address, None, Limit::Answer)?;
            match answer.status {
                200 => {}
                404 | 405 | 501 if answer.first("x-error-code").is_none() => return Ok(None),
                _ => return Err(Failure::Refused(Refusal::of(&answer))),
            }
            let body = answer.body.with_config().limit(MAX_LIST_BYTES).read_to_vec();
            let body = body.map_err(|error| client.read_failure(error.into_io()))?;
            // Whatever else answers here says so where a file is asked for.
            Ok(Listing::parse(&body).inspect_err(|error| log::info!("{address}: no list of files: {error}")).ok())
        });
        found.map_err(|failure| self.explain("", failure))
    }

    /// The address of a file.
    pub fn address(&self, revision: &str, file: &str) -> String {
        let (endpoint, name) = (&self.options.endpoint, &self.spec.name);
        format!("{endpoint}/{name}/resolve/{}/{}", url::part(revision), url::path(file))
    }

    /// What the hub says about a file; `None` if the repository lacks it.
    pub fn metadata(&mut self, revision: &str, file: &str) -> Result<Option<Metadata>> {
        match self.ask_metadata(revision, file) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(Failure::Refused(Refusal { status: 404, code, .. }))
                if !matches!(code.as_deref(), Some("RepoNotFound" | "RevisionNotFound")) =>
            {
                Ok(None)
            }
            Err(failure) => Err(self.explain(file, failure)),
        }
    }

    /// Like [`metadata`](Self::metadata), for a file that must be there.
    pub fn metadata_of(&mut self, revision: &str, file: &str) -> Result<Metadata> {
        self.ask_metadata(revision, file).map_err(|failure| self.explain(file, failure))
    }

    fn ask_metadata(&mut self, revision: &str, file: &str) -> std::result::Result<Metadata, Failure> {
        let address = self.address(revision, file);
        self.answered(file, |client| {
            let mut answer = client.get(&address, Some("bytes=0-0"), Limit::Answer)?;
            let metadata = metadata(&answer)?;
            if answer.status == 206 {
                // A body that is read to its end leaves the connection free for the next request.
                let _ = answer.body.with_config().limit(2).read_to_vec();
            }
            Ok(metadata)
        })
    }
}

fn metadata(answer: &Answer) -> std::result::Result<Metadata, Failure> {
    let strange = |what: &str| Failure::Strange(what.to_owned());
    let total = answer.last("content-range").and_then(|range| range.rsplit_once('/')?.1.trim().parse::<u64>().ok());
    let size = match answer.status {
        200 => answer.last("content-length").and_then(|length| length.parse().ok()),
        206 => total,
        // An empty file has no first byte.
        416 if total == Some(0) => Some(0),
        _ => return Err(Failure::Refused(Refusal::of(answer))),
    };
    let linked = answer.first("x-linked-size").and_then(|size| size.parse().ok());
    let tag = answer.first("x-linked-etag").or_else(|| answer.first("etag"));
    let tag = tag.map(|tag| tag.trim_start_matches("W/").trim_matches('"')).unwrap_or_default();
    if !super::spec::is_inside(tag) || tag.contains('/') {
        return Err(strange("no usable ETag"));
    }
    let commit = answer.first("x-repo-commit").filter(|commit| super::spec::is_name(commit));
    Ok(Metadata {
        commit: commit.ok_or_else(|| strange("no usable X-Repo-Commit"))?.to_owned(),
        tag: tag.to_owned(),
        size: linked.or(size).ok_or_else(|| strange("it does not say how large the file is"))?,
    })
}
