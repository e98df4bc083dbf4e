//! Downloads one file at a time: resumes after interruptions and checks the size.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError},
};

use super::{HubOptions, Progress, RepoSpec, explain, snapshot::Snapshot};
use crate::{Error, Result};

/// One repository on the hub.
pub(super) struct Remote<'a, 'p> {
    api: Api,
    spec: &'a RepoSpec,
    options: &'a HubOptions,
    progress: &'a mut Progress<'p>,
}

impl<'a, 'p> Remote<'a, 'p> {
    pub fn new(spec: &'a RepoSpec, options: &'a HubOptions, progress: &'a mut Progress<'p>) -> Result<Self> {
        let api = ApiBuilder::from_cache(Cache::new(options.cache.clone()))
            .with_endpoint(options.endpoint.clone())
            .with_token(options.token.clone())
            // The crate's retries restart at byte 0 of a file opened for appending; `persist` retries instead.
            .with_retries(0)
            .with_user_agent(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| explain::explain(spec, options, "", error))?;
        Ok(Self { api, spec, options, progress })
    }

    fn explain(&self, file: &str, error: ApiError) -> Error {
        explain::explain(self.spec, self.options, file, error)
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.spec.name.clone(), RepoType::Model, revision.into())
    }

    /// The current commit of the revision.
    pub fn commit(&self) -> Result<String> {
        let file = "config.json";
        let url = self.api.repo(self.repo(&self.spec.revision)).url(file);
        let metadata = self.api.metadata(&url).map_err(|error| self.explain(file, error))?;
        Ok(metadata.commit_hash().into())
    }

    /// Downloads this file if the snapshot lacks it; an error if the repository lacks it too.
    pub fn require(&mut self, snapshot: &Snapshot, file: &str) -> Result<()> {
        if self.bring(snapshot, file)? {
            return Ok(());
        }
        let why = format!("the repository has no such file: {} is not a model in safetensors form", self.spec);
        Err(Error::Download { what: format!("{}/{file}", self.spec), why })
    }

    /// Downloads this file if the snapshot lacks it. Returns `false` if the repository lacks it too.
    pub fn bring(&mut self, snapshot: &Snapshot, file: &str) -> Result<bool> {
        if snapshot.has(file) {
            return Ok(true);
        }
        if snapshot.lacks(file) {
            return Ok(false);
        }
        match self.download(snapshot, file) {
            Err(Failure::Hub(error)) if explain::status(&error) == Some(404) => {
                snapshot.mark_absent(file)?;
                Ok(false)
            }
            Err(Failure::Hub(error)) => Err(self.explain(file, error)),
            Err(Failure::Here(error)) => Err(error),
            Ok(()) => Ok(true),
        }
    }

    fn download(&mut self, snapshot: &Snapshot, file: &str) -> std::result::Result<(), Failure> {
        let repo = self.repo(snapshot.commit());
        let promised = self.api.metadata(&self.api.repo(repo.clone()).url(file))?;
        let (size, blob) = (
            promised.size() as u64,
            Cache::new(self.options.cache.clone()).repo(repo.clone()).blob_path(promised.etag()),
        );
        let pointer = snapshot.directory().join(file);
        if pointer.is_symlink() {
            // The link is dangling, or the snapshot would have this file. A new link needs its place.
            fs::remove_file(&pointer).map_err(Error::io(&pointer))?;
        }
        for _ in 0..2 {
            self.persist(&repo, file, &blob, size)?;
            let got = fs::metadata(&pointer).map_err(Error::io(&pointer))?.len();
            if got == size {
                return Ok(());
            }
            log::warn!("{}/{file}: received {got} bytes, expected {size}", self.spec);
            // A server may answer a range request with the whole file. Start over, once.
            for path in [&pointer, &blob] {
                fs::remove_file(path).map_err(Error::io(path))?;
            }
        }
        let why =
            format!("twice, the file on disk did not have the {size} bytes that the hub promised: try again later");
        Err(Error::Download { what: format!("{}/{file}", self.spec), why }.into())
    }

    /// Downloads a file. Resumes after each interruption as long as every attempt receives bytes.
    fn persist(&mut self, repo: &Repo, file: &str, blob: &Path, size: u64) -> std::result::Result<(), ApiError> {
        let part = partial(blob);
        loop {
            let mut before = length(&part);
            if before > 0 && before >= size {
                // The hub rejects a range that starts after the last byte.
                fs::remove_file(&part)?;
                before = 0;
            }
            let received = Received { file, done: 0, size, progress: &mut *self.progress };
            match self.api.repo(repo.clone()).download_with_progress(file, received) {
                Err(error) if explain::is_interruption(&error) && length(&part) > before => {
                    log::info!("{}/{file}: resuming after an interruption: {error}", self.spec);
                }
                outcome => return outcome.map(|_| ()),
            }
        }
    }
}

/// Counts the received bytes of one file.
struct Received<'a, 'p> {
    file: &'a str,
    done: u64,
    size: u64,
    progress: &'a mut Progress<'p>,
}

impl Received<'_, '_> {
    fn report(&mut self, done: u64) {
        // The count would exceed the size if a server sends the whole file instead of the rest.
        self.done = done.min(self.size);
        (self.progress)(self.file, self.done, self.size);
    }
}

impl hf_hub::api::Progress for Received<'_, '_> {
    fn init(&mut self, _: usize, _: &str) {
        self.report(0);
    }

    fn update(&mut self, bytes: usize) {
        self.report(self.done + bytes as u64);
    }

    fn finish(&mut self) {}
}

/// The crate's file for an incomplete blob.
fn partial(blob: &Path) -> PathBuf {
    blob.with_extension("part")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

enum Failure {
    Hub(ApiError),
    Here(Error),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Hub(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}
