//! The hub's side: one file at a time, resumed where it broke off and measured when it is there.

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
            // The crate's own retries start over at byte 0 of a file opened for appending: `persist` does it instead.
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

    /// The commit that the revision stands for now.
    pub fn commit(&self) -> Result<String> {
        let file = "config.json";
        let url = self.api.repo(self.repo(&self.spec.revision)).url(file);
        let metadata = self.api.metadata(&url).map_err(|error| self.explain(file, error))?;
        Ok(metadata.commit_hash().into())
    }

    /// Sees to it that the snapshot has this file.
    pub fn require(&mut self, snapshot: &Snapshot, file: &str) -> Result<()> {
        if self.bring(snapshot, file)? {
            return Ok(());
        }
        let why = format!("the repository has no such file: {} is not a model in safetensors form", self.spec);
        Err(Error::Download { what: format!("{}/{file}", self.spec), why })
    }

    /// Downloads this file if the snapshot lacks it; `false` if the hub does not have it either.
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
            // It leads nowhere, or this file would count as there; a new link could not take its place.
            fs::remove_file(&pointer).map_err(Error::io(&pointer))?;
        }
        for _ in 0..2 {
            self.persist(&repo, file, &blob, size)?;
            let got = fs::metadata(&pointer).map_err(Error::io(&pointer))?.len();
            if got == size {
                return Ok(());
            }
            log::warn!("{}/{file}: {got} bytes came where {size} were promised", self.spec);
            // As when a server answers a request for the rest with the whole: start over, once.
            for path in [&pointer, &blob] {
                fs::remove_file(path).map_err(Error::io(path))?;
            }
        }
        let why =
            format!("the file on disk had not the {size} bytes that the hub promised, twice over: try again later");
        Err(Error::Download { what: format!("{}/{file}", self.spec), why }.into())
    }

    /// Downloads a file, going on after every interruption for as long as each attempt brings something.
    fn persist(&mut self, repo: &Repo, file: &str, blob: &Path, size: u64) -> std::result::Result<(), ApiError> {
        let part = partial(blob);
        loop {
            let mut before = length(&part);
            if before > 0 && before >= size {
                // Asking for what follows the last byte is an error on the hub's side.
                fs::remove_file(&part)?;
                before = 0;
            }
            let received = Received { file, done: 0, size, progress: &mut *self.progress };
            match self.api.repo(repo.clone()).download_with_progress(file, received) {
                Err(error) if explain::is_interruption(&error) && length(&part) > before => {
                    log::info!("{}/{file}: going on after an interruption: {error}", self.spec);
                }
                outcome => return outcome.map(|_| ()),
            }
        }
    }
}

/// Bytes of one file as they come.
struct Received<'a, 'p> {
    file: &'a str,
    done: u64,
    size: u64,
    progress: &'a mut Progress<'p>,
}

impl Received<'_, '_> {
    fn report(&mut self, done: u64) {
        // A server that sends the whole file in place of the rest sends more than is left.
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

/// Where the crate keeps what has come of a blob.
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
