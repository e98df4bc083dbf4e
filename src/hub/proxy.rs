//! The proxy that the environment names. One that cannot be used is refused: without it, requests would go another way
//! than the user said.

use std::env;

use ureq::{Proxy, ProxyProtocol, http::Uri};

use crate::{Error, Result};

/// Variables of a proxy, in the order in which they count.
const VARIABLES: [&str; 6] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// The first variable that names a proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProxyVariable {
    pub variable: &'static str,
    /// The proxy's address, without a user's name and password.
    pub address: String,
}

impl ProxyVariable {
    /// The proxy of requests to this URL. `None` if they go there directly.
    pub fn of(endpoint: &str) -> Option<Self> {
        let excluded = || Some(Proxy::try_from_env()?.is_no_proxy(&endpoint.parse::<Uri>().ok()?));
        let set = |variable| Some((variable, env::var_os(variable)?.to_string_lossy().trim().to_owned()));
        let (variable, text) = VARIABLES.into_iter().filter_map(set).find(|(_, text)| !text.is_empty())?;
        (excluded() != Some(true)).then(|| Self { variable, address: public(&text) })
    }

    /// # Errors
    /// [`Error::Request`] if the proxy of requests to this URL is of another kind than HTTP.
    pub fn check(endpoint: &str) -> Result<()> {
        let Some(Self { variable, address }) = Self::of(endpoint) else { return Ok(()) };
        let usable = Proxy::new(&address).ok().map(|proxy| proxy.protocol());
        if matches!(usable, Some(ProxyProtocol::Http | ProxyProtocol::Https)) {
            return Ok(());
        }
        Err(Error::Request(format!(
            "{variable} is {address:?}, expected the URL of an HTTP proxy, such as http://host:8080; proxies of other \
             kinds, such as SOCKS, are not supported. Set {variable} to an HTTP proxy, or unset it, or add the hub's \
             host to NO_PROXY"
        )))
    }
}

/// A proxy's URL without a user's name and password.
fn public(text: &str) -> String {
    let (scheme, rest) =
        text.split_once("://").map_or(("", text), |(_, rest)| (&text[..text.len() - rest.len()], rest));
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::public;

    #[test]
    fn names_and_passwords_are_not_shown() {
        for (text, want) in [
            ("http://user:secret@proxy:8080", "http://proxy:8080"),
            ("user:secret@proxy", "proxy"),
            ("socks5://proxy:1080/", "socks5://proxy:1080/"),
        ] {
            assert_eq!(public(text), want);
        }
    }
}
