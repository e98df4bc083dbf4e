//! The variables of the hub's own library.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use bimetal::{
    Result,
    low_level::hub::{HubOptions, RepoSpec, fetch},
};

use crate::{
    run::{command, finish},
    server::Hub,
    support::scratch::Scratch,
};

fn options(set: &[(&str, &str)]) -> Result<HubOptions> {
    HubOptions::from_variables(|name| {
        set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    })
}

#[test]
fn the_cache_is_where_the_most_special_variable_says() {
    let cache = |set: &[(&str, &str)]| options(set).unwrap().cache;
    let all = [("HF_HUB_CACHE", "/a"), ("HUGGINGFACE_HUB_CACHE", "/b"), ("HF_HOME", "/c"), ("XDG_CACHE_HOME", "/d")];
    for (first, want) in ["/a", "/b", "/c/hub", "/d/huggingface/hub"].into_iter().enumerate() {
        assert_eq!(cache(&all[first..]), Path::new(want));
    }
    assert!(cache(&[]).ends_with(".cache/huggingface/hub"));
    // An empty value is none.
    assert_eq!(cache(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/c")]), Path::new("/c/hub"));
    let set = [("HF_HUB_CACHE", "$DISK/${NAME}s/$OTHER"), ("DISK", "/disk"), ("NAME", "model")];
    assert_eq!(cache(&set), Path::new("/disk/models/$OTHER"));
    assert_eq!(cache(&[("HF_HUB_CACHE", "~/models")]), std::env::home_dir().unwrap().join("models"));
}

#[test]
fn the_token_comes_from_a_variable_or_a_file() {
    let home = Scratch::empty();
    home.write("token", "of-home\n");
    home.write("other", "of-path");
    let (place, other) = (home.0.to_str().unwrap(), home.path("other"));
    let all = [
        ("HF_TOKEN", " first\n"),
        ("HUGGING_FACE_HUB_TOKEN", "second"),
        ("HF_TOKEN_PATH", other.to_str().unwrap()),
        ("HF_HOME", place),
    ];
    for (first, want) in ["first", "second", "of-path", "of-home"].into_iter().enumerate() {
        assert_eq!(options(&all[first..]).unwrap().token.as_deref(), Some(want));
    }
    let implicit = [("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
    assert_eq!(options(&[&implicit, &all[..]].concat()).unwrap().token, None);
    let error = options(&[("HF_TOKEN", "two words")]).unwrap_err().to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
}

#[test]
fn times_switches_and_the_endpoint() {
    let found = options(&[
        ("HF_HUB_ETAG_TIMEOUT", "3"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "7"),
        ("HF_HUB_OFFLINE", "Yes"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "ON"),
        ("HF_ENDPOINT", "https://hub.example/"),
    ]);
    let found = found.unwrap();
    assert_eq!((found.answer_timeout, found.stall_timeout), (Duration::from_secs(3), Duration::from_secs(7)));
    assert_eq!((found.offline, found.hide_bars, &*found.endpoint), (true, true, "https://hub.example"));

    let found = options(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1"), ("HF_HUB_DOWNLOAD_TIMEOUT", "0")]);
    let found = found.unwrap();
    assert_eq!((found.offline, found.stall_timeout), (false, Duration::from_secs(15)));
    assert!(options(&[("TRANSFORMERS_OFFLINE", "1")]).unwrap().offline);

    for (name, value, words) in [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "expected a whole number of seconds"),
        ("HF_ENDPOINT", "hub.example", "expected a URL, such as https://hub.example"),
    ] {
        let error = options(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(value) && error.contains(words), "{error}");
    }
}

#[test]
fn offline_takes_what_is_there_and_asks_nobody() {
    let (hub, home) = (Hub::new(&[]), Scratch::empty());
    let mut command = command(&["generate", "a", "-m", "maker/model"]);
    let command = command.env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0);
    finish(command).refuses(&format!(
        "maker/model: it is not in the cache at {}, and HF_HUB_OFFLINE allows no download: unset it, or name a \
         model that is there. There is no directory maker/model on this machine either",
        home.path("hub").display()
    ));
    let snapshot = home.path("hub/models--maker--model/snapshots/abc");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(home.path("hub/models--maker--model/refs")).unwrap();
    home.write("hub/models--maker--model/refs/main", "abc");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(snapshot.join(file), "there").unwrap();
    }
    let options = HubOptions { offline: true, ..HubOptions::new(hub.endpoint.clone(), home.path("hub")) };
    assert_eq!(fetch(&RepoSpec::parse("maker/model").unwrap(), &options, &mut |_| {}).unwrap(), snapshot);
    assert!(hub.requests().is_empty());
}

#[test]
fn the_name_of_a_program_is_told() {
    let (hub, home) = (Hub::new(&[]), Scratch::empty());
    let variables = [("HF_HUB_USER_AGENT_ORIGIN", "partner"), ("HF_ENDPOINT", &hub.endpoint)];
    let options = HubOptions { cache: home.path("hub"), ..options(&variables).unwrap() };
    fetch(&RepoSpec::parse("maker/model").unwrap(), &options, &mut |_| {}).unwrap_err();
    let agent = hub.requests().remove(0).agent;
    assert!(agent.starts_with("bimetal/") && agent.ends_with("; origin/partner"), "{agent}");
}

#[test]
fn errors_name_the_variable_that_is_set() {
    let home = Scratch::empty();
    home.write("empty.pem", "");
    let place = |file: &str| home.path(file).display().to_string();
    let (absent, empty) = (place("absent.pem"), place("empty.pem"));
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[("TRANSFORMERS_OFFLINE", "on")], "maker/model: TRANSFORMERS_OFFLINE allows no download: unset it"),
        (&[("HF_HUB_OFFLINE", "1")], "maker/model: HF_HUB_OFFLINE allows no download: unset it"),
        (&[("HF_ENDPOINT", "hub")], "error: HF_ENDPOINT is \"hub\", expected a URL"),
        (
            &[("HTTPS_PROXY", "socks5://host:1080")],
            "error: HTTPS_PROXY is \"socks5://host:1080\", expected the URL of an HTTP",
        ),
        (&[("all_proxy", "ftp://user:secret@host")], "error: all_proxy is \"ftp://host\", expected the URL of an HTTP"),
        (&[("HTTPS_PROXY", "http://127.0.0.1:9")], "through the proxy http://127.0.0.1:9: "),
        (&[("SSL_CERT_FILE", &absent)], "error: SSL_CERT_FILE names "),
        (&[("REQUESTS_CA_BUNDLE", &empty)], "expected PEM text: REQUESTS_CA_BUNDLE names this file"),
    ];
    for (set, want) in cases {
        let mut command = command(&["pull", "maker/model"]);
        let outcome = finish(command.envs(set.iter().copied()).env("HF_HOME", &home.0));
        assert!(outcome.code == Some(1) && outcome.err.contains(want), "{set:?}: {}", outcome.err);
        assert!(!outcome.err.contains("secret"), "{}", outcome.err);
        assert_eq!(outcome.err.contains("Check HTTPS_PROXY, or add"), want.starts_with("through"), "{}", outcome.err);
    }
    // A proxy that no request goes through is nothing to refuse.
    let hub = Hub::new(&[]);
    let mut command = command(&["pull", "maker/model"]);
    let command = command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0);
    let outcome = finish(command.env("HTTPS_PROXY", "socks5://host:1080").env("NO_PROXY", "127.0.0.1"));
    assert!(outcome.err.contains("the repository has neither"), "{}", outcome.err);
}
