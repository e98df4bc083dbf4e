//! URLs: parts of a path, redirects, and hosts.

/// A path with everything replaced that has a meaning in a URL. Slashes stay.
pub(super) fn path(text: &str) -> String {
    text.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// One part of a path. Slashes are replaced too.
pub(super) fn part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The address that a redirect from `base` leads to.
pub(super) fn join(base: &str, next: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let origin = format!("{scheme}://{}", host(base));
    if next.starts_with("http://") || next.starts_with("https://") {
        next.into()
    } else if let Some(next) = next.strip_prefix("//") {
        format!("{scheme}://{next}")
    } else if next.starts_with('/') {
        origin + next
    } else {
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let directory = path.rsplit_once('/').map_or(path, |(directory, _)| directory);
        format!("{scheme}://{directory}/{next}")
    }
}

/// Whether two URLs have the same scheme, host and port.
pub(super) fn same_host(one: &str, other: &str) -> bool {
    let scheme = |url: &str| url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    scheme(one) == scheme(other) && host(one).eq_ignore_ascii_case(host(other))
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined() {
        let base = "https://hub.example:8080/a/resolve/main/b?x=1";
        for (next, want) in [
            ("https://cdn.example/c", "https://cdn.example/c"),
            ("//cdn.example/c", "https://cdn.example/c"),
            ("/d/e", "https://hub.example:8080/d/e"),
            ("e", "https://hub.example:8080/a/resolve/main/e"),
        ] {
            assert_eq!(join(base, next), want);
        }
    }

    #[test]
    fn hosts_are_compared_with_scheme_and_port() {
        assert!(same_host("https://hub.example/a", "HTTPS://Hub.example"));
        for other in ["http://hub.example", "https://hub.example:444", "https://hub.example.org", "https://hub"] {
            assert!(!same_host("https://hub.example/a", other), "{other}");
        }
    }

    #[test]
    fn parts_of_a_path_are_encoded() {
        assert_eq!((part("refs/pr/1"), path("a b/c#d+e")), ("refs%2Fpr%2F1".into(), "a%20b/c%23d%2Be".into()));
    }
}
