//! Looks at a model on the hub without downloading its weights: its small files, and the first bytes of others.

use std::{io::Read, path::PathBuf};

use super::{
    HubOptions, INDEX, Progress, REQUIRED, RepoSpec, WEIGHTS,
    client::{Client, Failure, Limit, Refusal},
    explain::{explain, failed},
    fetch::{Contents, commit, complete, contents},
    remote::{Patience, Remote},
    snapshot::{Snapshot, shards},
    spec::Choice,
};
use crate::Result;

/// A model to look at.
pub enum RemoteModel<'a> {
    /// The cache has all of it: the path to open.
    Here(PathBuf),
    /// A directory of safetensors files.
    Safetensors {
        /// The contents of its config.json.
        config: Vec<u8>,
        /// Its weight files.
        files: Vec<RemoteFile<'a>>,
    },
    /// GGUF files, in order.
    Gguf(Vec<RemoteFile<'a>>),
}

/// A file on the hub, of which the first bytes can be read.
pub struct RemoteFile<'a> {
    /// Its path in the repository.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    head: Vec<u8>,
    address: String,
    spec: &'a RepoSpec,
    options: &'a HubOptions,
}

/// Finds the weight files of a model. Nothing is written to the cache.
///
/// # Errors
/// Those of [`fetch`](super::fetch).
pub fn inspect<'a>(
    spec: &'a RepoSpec,
    options: &'a HubOptions,
    progress: &mut Progress<'_>,
) -> Result<RemoteModel<'a>> {
    let cached = Snapshot::cached(&options.cache, spec);
    if let Some(path) = cached.as_ref().and_then(|snapshot| complete(spec, snapshot, options.offline)) {
        return Ok(RemoteModel::Here(path));
    }
    if let Some(snapshot) = cached.filter(|snapshot| spec.choice == Choice::Default && snapshot.is_usable()) {
        return Ok(RemoteModel::Here(snapshot.directory()));
    }
    if options.offline {
        return super::fetch(spec, options, progress).map(RemoteModel::Here);
    }
    let mut remote = Remote::new(spec, options, progress)?;
    let listing = remote.listing(&spec.revision)?;
    let contents = contents(spec, listing.as_ref())?;
    let commit = commit(&mut remote, &spec.revision, listing.as_ref(), &contents)?;
    let mut place = Place { remote, commit, spec, options };
    let names = match contents {
        Contents::Gguf(model) => return place.files(model.files).map(RemoteModel::Gguf),
        Contents::Directory => match place.file(INDEX)? {
            Some(mut index) => shards(INDEX.as_ref(), &index.first(index.length)?)?.into_iter().collect(),
            None => vec![WEIGHTS.to_owned()],
        },
    };
    let mut config = place.files(vec![REQUIRED[0].to_owned()])?;
    let config = config[0].first(u64::MAX)?;
    Ok(RemoteModel::Safetensors { config, files: place.files(names)? })
}

/// One commit of a repository on the hub.
struct Place<'a, 'r, 'p> {
    remote: Remote<'r, 'p>,
    commit: String,
    spec: &'a RepoSpec,
    options: &'a HubOptions,
}

impl<'a> Place<'a, '_, '_> {
    /// A file, if the repository has it.
    fn file(&mut self, name: &str) -> Result<Option<RemoteFile<'a>>> {
        let Some(metadata) = self.remote.metadata(&self.commit, name)? else { return Ok(None) };
        let address = self.remote.address(&self.commit, name);
        let Self { spec, options, .. } = *self;
        Ok(Some(RemoteFile { name: name.into(), length: metadata.size, head: Vec::new(), address, spec, options }))
    }

    fn files(&mut self, names: Vec<String>) -> Result<Vec<RemoteFile<'a>>> {
        let file = |name: String| match self.file(&name)? {
            Some(file) => Ok(file),
            None => Err(failed(self.spec, &name, "the repository has no such file".into())),
        };
        names.into_iter().map(file).collect()
    }
}

impl RemoteFile<'_> {
    /// The first bytes of the file, this many or all. What came before is not requested again.
    ///
    /// # Errors
    /// [`crate::Error::Download`] with the file, the cause and the remedy.
    pub fn first(&mut self, bytes: u64) -> Result<Vec<u8>> {
        let wanted = bytes.min(self.length);
        let client = Client::new(self.options)?;
        let mut patience = Patience::new(self.options);
        while (self.head.len() as u64) < wanted {
            let before = self.head.len();
            let failure = match self.more(&client, wanted) {
                Ok(()) if self.head.len() > before => continue,
                Ok(()) => Failure::Broken("the hub sends nothing more".into()),
                Err(failure) => failure,
            };
            if self.head.len() > before {
                patience = Patience::renewed(self.options);
            }
            match client.may_pass(&failure).then(|| patience.next(&failure)).flatten() {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(explain(self.spec, self.options, &self.name, failure)),
            }
        }
        Ok(self.head[..wanted as usize].to_vec())
    }

    fn more(&mut self, client: &Client<'_>, wanted: u64) -> std::result::Result<(), Failure> {
        let have = self.head.len() as u64;
        let range = format!("bytes={have}-{}", wanted - 1);
        let mut answer = client.get(&self.address, Some(&range), Limit::Bytes)?;
        match answer.status {
            206 => {}
            // A server without ranges sends the file from its beginning: only the first bytes are read.
            200 => self.head.clear(),
            _ => return Err(Failure::Refused(Refusal::of(&answer))),
        }
        let (mut chunk, mut reader) = (vec![0; 1 << 16], answer.body.as_reader());
        loop {
            let left = (wanted as usize - self.head.len()).min(chunk.len());
            let count = reader.read(&mut chunk[..left]).map_err(|error| client.read_failure(error))?;
            if count == 0 {
                return Ok(());
            }
            self.head.extend_from_slice(&chunk[..count]);
        }
    }
}
