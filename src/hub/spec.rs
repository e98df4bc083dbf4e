//! What a user calls a model on the hub.

use std::fmt;

/// A repository on the hub, a revision of it, and the chosen files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSpec {
    pub(super) name: String,
    pub(super) revision: String,
    pub(super) choice: Choice,
}

/// The files of a repository that make the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The safetensors files, or the only GGUF file.
    Default,
    /// The GGUF file with this quantization, such as `Q4_K_M`.
    Quantization(String),
    /// The GGUF file with this path in the repository.
    File(String),
}

/// The default revision.
pub(super) const MAIN: &str = "main";

/// Digits of a commit, and those that stand for it in short.
const COMMIT_DIGITS: usize = 40;
const SHORT_DIGITS: usize = 7;

/// Addresses that users copy from a browser, before `OWNER/NAME`.
const SITES: [&str; 2] = ["huggingface.co/", "hf.co/"];

impl RepoSpec {
    /// Parses `OWNER/NAME`, `OWNER/NAME:QUANT` or `OWNER/NAME/FILE.gguf`, each with or without `@REVISION` at its end.
    /// A revision is a branch, a tag or a commit; the default is `main`. QUANT is the quantization in the name of a GGUF
    /// file, such as `Q4_K_M`. The address of a repository or a file on the hub's site works too.
    /// Returns `None` for other text, such as most paths. A path like `models/mine` also parses: check for a path
    /// first.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.strip_prefix("https://").unwrap_or(text);
        if let Some(rest) = SITES.iter().find_map(|site| plain.strip_prefix(site)) {
            return address(rest.trim_end_matches('/'));
        }
        let (path, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let (path, before) = quantization(path);
        let (revision, after) = quantization(revision);
        if before.is_some() && after.is_some() {
            return None;
        }
        spec(path, revision, before.or(after))
    }

    /// The repository, `OWNER/NAME`.
    pub fn repository(&self) -> &str {
        &self.name
    }

    /// Its text with the first digits of a commit instead of all of them, as Git shows commits.
    pub fn short(&self) -> String {
        Self { revision: short_revision(&self.revision).into(), ..self.clone() }.to_string()
    }

    /// Whether a user may have meant a path: the text is nothing but `OWNER/NAME` or `OWNER/NAME/FILE.gguf`.
    pub(super) fn may_be_path(&self) -> bool {
        self.revision == MAIN && !matches!(self.choice, Choice::Quantization(_))
    }
}

impl fmt::Display for RepoSpec {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&self.name)?;
        match &self.choice {
            Choice::Default => {}
            Choice::Quantization(name) => write!(to, ":{name}")?,
            Choice::File(file) => write!(to, "/{file}")?,
        }
        match self.revision.as_str() {
            MAIN => Ok(()),
            revision => write!(to, "@{revision}"),
        }
    }
}

/// The first digits of a commit, as Git shows it; another revision as it is.
pub fn short_revision(revision: &str) -> &str {
    let is_commit = revision.len() == COMMIT_DIGITS && is_hexadecimal(revision);
    if is_commit { &revision[..SHORT_DIGITS] } else { revision }
}

fn quantization(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(rest, name)| (rest, Some(name)))
}

/// The specification of an address on the hub's site, after the host.
fn address(path: &str) -> Option<RepoSpec> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [owner, name, "tree" | "blob" | "resolve", revision] => spec(&format!("{owner}/{name}"), revision, None),
        [owner, name, "blob" | "resolve", revision, ..] => {
            let file = parts[4..].join("/");
            let file = file.split('?').next().unwrap_or_default();
            spec(&format!("{owner}/{name}/{file}"), revision, None)
        }
        _ => RepoSpec::parse(path),
    }
}

fn spec(path: &str, revision: &str, quantization: Option<&str>) -> Option<RepoSpec> {
    let mut parts = path.splitn(3, '/');
    let (owner, name, file) = (parts.next()?, parts.next()?, parts.next());
    let choice = match (file, quantization) {
        (None, None) => Choice::Default,
        (None, Some(name)) if is_name(name) => Choice::Quantization(name.into()),
        (Some(file), None) if is_gguf(file) && is_inside(file) => Choice::File(file.into()),
        _ => return None,
    };
    let valid = is_name(owner) && is_name(name) && !revision.is_empty() && revision.split('/').all(is_name);
    valid.then(|| RepoSpec { name: format!("{owner}/{name}"), revision: revision.into(), choice })
}

/// Whether the text is safe as a path component and as a part of a URL.
pub(super) fn is_name(part: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') && part.chars().all(plain)
}

/// Whether the text may be the first digits of a commit.
pub(super) fn is_short(text: &str) -> bool {
    (SHORT_DIGITS..COMMIT_DIGITS).contains(&text.len()) && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the name of a file is that of a GGUF file.
pub(super) fn is_gguf(file: &str) -> bool {
    file.len() > 5 && file.is_char_boundary(file.len() - 5) && file[file.len() - 5..].eq_ignore_ascii_case(".gguf")
}

/// Whether a path stays inside the directory that it starts in, on every system.
pub(super) fn is_inside(file: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    file.split('/').all(plain)
}
