//! Requests to the hub: redirects, the access token, timeouts. Knows no repository.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use ureq::{
    Agent, Body, Timeout,
    http::{HeaderMap, Response},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{HubOptions, proxy::ProxyVariable, url};
use crate::{Error, Result};

/// Maximum number of addresses that one request is sent on to.
const MAX_REDIRECTS: usize = 10;

/// The hub, as its options say.
pub(super) struct Client<'a> {
    agent: Agent,
    pub(super) options: &'a HubOptions,
    /// Whether the hub has answered before.
    reached: Cell<bool>,
}

/// Why a request brought nothing, or not all.
#[derive(Debug)]
pub(super) enum Failure {
    /// The hub's answer is a refusal.
    Refused(Refusal),
    /// Not a byte came for this time.
    Stalled(Limit),
    /// The connection ended early.
    Broken(String),
    /// There is no connection.
    Unreached(String),
    /// An answer that a hub does not give.
    Strange(String),
    /// The download itself cannot be written.
    Local(io::Error),
}

/// How long a request may bring nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Until the answer to a question about a file.
    Answer,
    /// Between two bytes of a file.
    Bytes,
}

impl Limit {
    pub fn time(self, options: &HubOptions) -> Duration {
        match self {
            Self::Answer => options.answer_timeout,
            Self::Bytes => options.stall_timeout,
        }
    }

    /// The variable that sets it.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Answer => "HF_HUB_ETAG_TIMEOUT",
            Self::Bytes => "HF_HUB_DOWNLOAD_TIMEOUT",
        }
    }
}

/// An HTTP status that is not a success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: u16,
    /// The hub's own name of the error, such as `GatedRepo`.
    pub code: Option<String>,
    /// The pause that the hub asks for.
    pub pause: Option<Duration>,
}

/// The hub's answer, after redirects.
pub(super) struct Answer {
    pub status: u16,
    /// The headers of each answer on the way, in order.
    hops: Vec<HeaderMap>,
    pub body: Body,
}

impl Answer {
    /// The value of the first header of this name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.hops.iter().find_map(|headers| headers.get(name)?.to_str().ok())
    }

    /// The value of this header in the final answer.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.hops.last()?.get(name)?.to_str().ok()
    }
}

impl<'a> Client<'a> {
    /// # Errors
    /// [`Error::Request`] or [`Error::Format`] for an unusable file of certificates or proxy.
    pub fn new(options: &'a HubOptions) -> Result<Self> {
        ProxyVariable::check(&options.endpoint)?;
        let name = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        let name = options.origin.as_ref().map_or_else(|| name.to_owned(), |origin| format!("{name}; origin/{origin}"));
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(name)
            .timeout_resolve(Some(options.answer_timeout))
            .timeout_connect(Some(options.answer_timeout))
            .timeout_per_read(Some(options.stall_timeout))
            .timeout_per_write(Some(options.stall_timeout));
        if let Some(tls) = certificates(options)? {
            config = config.tls_config(tls);
        }
        Ok(Self { agent: config.build().into(), options, reached: Cell::new(false) })
    }

    /// Requests a URL of the hub, or a range of bytes of it, and follows redirects. `limit` is for the head of each
    /// answer.
    pub fn get(&self, url: &str, range: Option<&str>, limit: Limit) -> std::result::Result<Answer, Failure> {
        let (mut url, mut hops) = (url.to_owned(), Vec::new());
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&url, range, limit)?;
            let (head, body) = answer.into_parts();
            let (status, next) = (head.status.as_u16(), head.headers.get("location"));
            let next = next.and_then(|next| next.to_str().ok()).map(|next| url::join(&url, next));
            hops.push(head.headers);
            match next {
                Some(next) if matches!(status, 301 | 302 | 303 | 307 | 308) => url = next,
                _ => return Ok(Answer { status, hops, body }),
            }
        }
        Err(Failure::Strange(format!("it redirects more than {MAX_REDIRECTS} times")))
    }

    fn ask(&self, url: &str, range: Option<&str>, limit: Limit) -> std::result::Result<Response<Body>, Failure> {
        let time = limit.time(self.options);
        let mut request = self.agent.get(url).config().timeout_recv_response(Some(time)).build();
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        // The token is for the hub alone, not for the servers that it redirects to.
        if let Some(token) = self.options.token.as_ref().filter(|_| url::same_host(url, &self.options.endpoint)) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.call().map_err(|error| match error {
            ureq::Error::Timeout(Timeout::RecvResponse) => Failure::Stalled(limit),
            error => self.failure(error),
        })?;
        self.reached.set(true);
        Ok(answer)
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                Failure::Unreached(format!("no answer for {} s", self.options.answer_timeout.as_secs_f64()))
            }
            ureq::Error::Timeout(_) => Failure::Stalled(Limit::Bytes),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => Failure::Broken(error.to_string()),
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Failure::Stalled(Limit::Bytes),
                _ => Failure::Unreached(error.to_string()),
            },
            ureq::Error::Protocol(error) => Failure::Strange(error.to_string()),
            error => Failure::Unreached(error.to_string()),
        }
    }

    /// The failure of reading a body.
    pub fn read_failure(&self, error: io::Error) -> Failure {
        match ureq::Error::from(error) {
            ureq::Error::Protocol(error) => Failure::Broken(error.to_string()),
            error => match self.failure(error) {
                Failure::Unreached(why) => Failure::Broken(why),
                failure => failure,
            },
        }
    }

    /// Whether another attempt may help.
    pub fn may_pass(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500 | 502..=599),
            Failure::Stalled(_) | Failure::Broken(_) => true,
            // A hub that never answered is most likely not there.
            Failure::Unreached(_) => self.reached.get(),
            Failure::Strange(_) | Failure::Local(_) => false,
        }
    }
}

impl Refusal {
    pub fn of(answer: &Answer) -> Self {
        let pause = answer.last("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Self { status: answer.status, code: answer.first("x-error-code").map(str::to_owned), pause }
    }
}

fn certificates(options: &HubOptions) -> Result<Option<TlsConfig>> {
    let Some(file) = &options.certificates else { return Ok(None) };
    let variable = options.variables.certificates.unwrap_or("the program");
    let text = std::fs::read(file).map_err(|error| {
        let file = file.display();
        Error::Request(format!(
            "{variable} names {file} as the file of certificates to trust: {error}. Name a PEM file, or unset {variable}"
        ))
    })?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let what = format!("found no certificate, expected PEM text: {variable} names this file");
        return Err(Error::Format { file: file.clone(), what });
    }
    Ok(Some(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build()))
}
