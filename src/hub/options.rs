//! Options of downloads, from the variables of the hub's own library.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Error, Result};

/// The hub's address, the cache directory, the access token, and how patient a download is.
#[derive(Clone)]
pub struct HubOptions {
    /// The hub's URL, without a trailing slash.
    pub endpoint: String,
    /// The directory that holds `models--OWNER--NAME`.
    pub cache: PathBuf,
    /// The access token, for gated and private repositories.
    pub token: Option<String>,
    /// Use what is in the cache, and send no request.
    pub offline: bool,
    /// Maximum time for a connection, and for the answer to a question about a file.
    pub answer_timeout: Duration,
    /// Maximum time without a byte during a download.
    pub stall_timeout: Duration,
    /// Maximum number of attempts in a row that bring nothing new.
    pub attempts: u32,
    /// Pause after the first such attempt. Each further pause is twice as long.
    pub pause: Duration,
    /// Show no progress bars.
    pub hide_bars: bool,
    /// Added to the name of this program in requests.
    pub origin: Option<String>,
    /// A PEM file with the certificates to trust, instead of the well-known authorities.
    pub certificates: Option<PathBuf>,
    /// The variables that set some of these, for messages.
    pub variables: SetBy,
}

/// The variable that set an option. `None` if the program itself did.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct SetBy {
    /// That of [`HubOptions::offline`].
    pub offline: Option<&'static str>,
    /// That of [`HubOptions::certificates`].
    pub certificates: Option<&'static str>,
}

/// Variables that forbid requests; the first one that is set counts.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];

/// Variables of the certificates to trust; the first one that is set counts.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

impl HubOptions {
    /// Default options for a hub and a cache, without a token.
    pub fn new(endpoint: impl Into<String>, cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.into(),
            cache: cache.into(),
            token: None,
            offline: false,
            answer_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(15),
            attempts: 5,
            pause: Duration::from_secs(1),
            hide_bars: false,
            origin: None,
            certificates: None,
            variables: SetBy::default(),
        }
    }

    /// Why nothing may be requested.
    pub(super) fn refusal(&self) -> String {
        let who = self.variables.offline.unwrap_or("the program");
        let remedy = if self.variables.offline.is_some() { ": unset it" } else { "" };
        format!("{who} allows no download{remedy}")
    }

    /// The settings of the environment variables that the hub's own library reads, with the same meaning and order:
    /// `docs/hub.md` lists them.
    ///
    /// # Errors
    /// Those of [`HubOptions::from_variables`].
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| env::var_os(name))
    }

    /// Like [`from_environment`](Self::from_environment), with other environment variables.
    ///
    /// # Errors
    /// [`Error::Request`] if a variable has an unusable value, or if there is no home directory for the cache.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let variables = Variables(&variable);
        let home = match (variables.path("HF_HOME"), variables.path("XDG_CACHE_HOME"), env::home_dir()) {
            (Some(home), ..) => home,
            (None, Some(caches), _) => caches.join("huggingface"),
            (None, None, Some(user)) => user.join(".cache/huggingface"),
            (None, None, None) => {
                let why = "there is no home directory to keep them in: set HF_HOME to a directory";
                return Err(refused(why.into()));
            }
        };
        let cache = variables.path("HF_HUB_CACHE").or_else(|| variables.path("HUGGINGFACE_HUB_CACHE"));
        let defaults = Self::new(variables.endpoint()?, cache.unwrap_or_else(|| home.join("hub")));
        let token_file = variables.path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let offline = OFFLINE.into_iter().find(|name| variables.is_true(name).is_some());
        let offline = offline.filter(|name| variables.is_true(name) == Some(true));
        let certificates = CERTIFICATES.into_iter().find_map(|name| Some((name, variables.path(name)?))).unzip();
        Ok(Self {
            token: variables.token(&token_file)?,
            offline: offline.is_some(),
            answer_timeout: variables.seconds("HF_HUB_ETAG_TIMEOUT")?.unwrap_or(defaults.answer_timeout),
            stall_timeout: variables.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?.unwrap_or(defaults.stall_timeout),
            hide_bars: variables.is_true("HF_HUB_DISABLE_PROGRESS_BARS") == Some(true),
            origin: variables.text("HF_HUB_USER_AGENT_ORIGIN"),
            certificates: certificates.1,
            variables: SetBy { offline, certificates: certificates.0 },
            ..defaults
        })
    }
}

impl fmt::Debug for HubOptions {
    /// Shows whether a token is set, never the token.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        let Self { endpoint, cache, offline, .. } = self;
        let mut shown = to.debug_struct("HubOptions");
        shown.field("endpoint", endpoint).field("cache", cache).field("token", &token).field("offline", offline);
        shown.finish_non_exhaustive()
    }
}

fn refused(why: String) -> Error {
    Error::Request(why)
}

/// Environment variables. A variable without text is as one that is not set.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.value(name)?.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// A path, with `~`, `$NAME` and `${NAME}` replaced.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.value(name)?;
        let Some(text) = value.to_str() else { return Some(value.into()) };
        let path = self.expanded(text);
        let below = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', '\\']));
        match (below, env::home_dir()) {
            (Some(rest), Some(home)) => Some(home.join(rest.trim_start_matches(['/', '\\']))),
            _ => Some(path.into()),
        }
    }

    /// Replaces the names of variables that are set.
    fn expanded(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(part.len());
            let (name, rest) = braced.unwrap_or_else(|| part.split_at(end));
            match self.value(name) {
                Some(value) => result += &(value.to_string_lossy() + rest),
                None => result += &format!("${part}"),
            }
        }
        result
    }

    fn is_true(&self, name: &str) -> Option<bool> {
        let value = self.text(name)?;
        Some(["1", "on", "yes", "true"].iter().any(|word| value.eq_ignore_ascii_case(word)))
    }

    /// A duration in whole seconds. Zero means the default.
    fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let seconds: u32 = text
            .parse()
            .map_err(|_| refused(format!("{name} is {text:?}, expected a whole number of seconds, such as 15")))?;
        Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
    }

    fn endpoint(&self) -> Result<String> {
        let text = self.text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        match text.starts_with("http://") || text.starts_with("https://") {
            true => Ok(text.trim_end_matches('/').into()),
            false => Err(refused(format!("HF_ENDPOINT is {text:?}, expected a URL, such as https://{text}"))),
        }
    }

    fn token(&self, file: &Path) -> Result<Option<String>> {
        if self.is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") == Some(true) {
            return Ok(None);
        }
        let set = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(|name| Some((self.text(name)?, name)));
        let (token, place) = match set {
            Some((token, name)) => (token, name.to_owned()),
            None => (fs::read_to_string(file).unwrap_or_default().trim().to_owned(), file.display().to_string()),
        };
        match token.chars().all(|character| character.is_ascii_graphic()) {
            true => Ok(Some(token).filter(|token| !token.is_empty())),
            false => Err(refused(format!("the access token in {place} has characters that no token has: set it anew"))),
        }
    }
}
