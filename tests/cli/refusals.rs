//! Downloads from a hub that stalls, cuts, redirects, refuses and lies.

use std::{path::PathBuf, time::Duration};

use bimetal::{
    Result,
    low_level::hub::{DownloadEvent, HubOptions, RepoSpec, fetch},
};

use crate::{
    server::Hub,
    support::scratch::{Scratch, WEIGHTS},
};

fn weights() -> Vec<u8> {
    (0..50_000u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn hub() -> Hub {
    Hub::new(&[("config.json", b"{}"), ("tokenizer.json", b"{}"), (WEIGHTS, &weights())])
}

fn options(hub: &Hub, home: &Scratch) -> HubOptions {
    let mut options = HubOptions::new(hub.endpoint.clone(), home.path("hub"));
    (options.stall_timeout, options.attempts, options.pause) = (Duration::from_millis(100), 3, Duration::ZERO);
    options
}

/// A download with the reasons of its further attempts.
fn get(options: &HubOptions) -> (Result<PathBuf>, Vec<String>) {
    let mut told = Vec::new();
    let outcome = fetch(&RepoSpec::parse("maker/model").unwrap(), options, &mut |event| {
        if let DownloadEvent::Retry { file, why, .. } = event {
            told.push(format!("{file}: {why}"));
        }
    });
    (outcome, told)
}

#[track_caller]
fn comes(hub: &Hub, home: &Scratch) -> Vec<String> {
    let (outcome, told) = get(&options(hub, home));
    assert!(std::fs::read(outcome.unwrap().join(WEIGHTS)).unwrap() == weights());
    told
}

#[track_caller]
fn fails(hub: &Hub, words: &[&str]) {
    let error = get(&options(hub, &Scratch::empty())).0.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

/// Two small files come whole; what follows happens to the weights.
fn cuts(bytes: &[usize]) -> Vec<usize> {
    [&[usize::MAX; 2], bytes].concat()
}

#[test]
fn a_server_that_goes_silent_is_asked_for_the_rest() {
    let (hub, home) = (hub(), Scratch::empty());
    hub.set(|state| (state.cuts, state.stall) = (cuts(&[120_000]), true));
    assert_eq!(comes(&hub, &home), ["model.safetensors: stalled for 0.1 s"]);
    let ranges: Vec<_> = hub.requests().into_iter().filter(|request| request.path.ends_with(WEIGHTS)).collect();
    assert_eq!(ranges.last().unwrap().range, "bytes=120000-");
}

#[test]
fn a_server_that_stays_silent_is_given_up() {
    let hub = hub();
    hub.set(|state| (state.cuts, state.stall) = (cuts(&[0, 0, 0]), true));
    fails(&hub, &["maker/model/model.safetensors", "stalled", "0.1 s", "HF_HUB_DOWNLOAD_TIMEOUT"]);
}

#[test]
fn a_busy_hub_is_asked_again() {
    for status in [429, 500, 502, 503] {
        let (hub, home) = (hub(), Scratch::empty());
        hub.set(|state| (state.statuses, state.headers) = (vec![status, status], "Retry-After: 0\r\n".into()));
        let told = comes(&hub, &home);
        assert!(told.len() == 2 && told.iter().all(|told| told.contains(&status.to_string())), "{told:?}");
    }
}

#[test]
fn a_hub_that_stays_busy_is_given_up() {
    let hub = hub();
    hub.set(|state| state.status = Some(429));
    fails(&hub, &["429", "fewer requests", "HF_TOKEN"]);
    hub.set(|state| state.headers = "Retry-After: 86400\r\n".into());
    hub.requests();
    fails(&hub, &["429", "Try again in 86400 s"]);
    assert_eq!(hub.requests().len(), 1, "nobody waits for a day");
}

#[test]
fn refusals_name_the_repository_and_what_to_do() {
    for (status, code, words) in [
        (401, "RepoNotFound", ["no such repository", "HF_TOKEN"]),
        (401, "GatedRepo", ["the model is gated. Accept its terms at", "HF_TOKEN"]),
        (403, "GatedRepo", ["the model is gated. Accept its terms at", "HF_TOKEN"]),
        (404, "RepoNotFound", ["no such repository or revision", "Check the name"]),
        (404, "RevisionNotFound", ["no revision main", "/branches lists them"]),
        (418, "Teapot", ["an answer that a model hub does not give", "HF_ENDPOINT"]),
    ] {
        let hub = hub();
        hub.set(|state| (state.status, state.headers) = (Some(status), format!("X-Error-Code: {code}\r\n")));
        fails(&hub, &["maker/model", &status.to_string(), words[0], words[1]]);
    }
}

#[test]
fn a_refused_range_starts_the_file_over() {
    let (hub, home) = (hub(), Scratch::empty());
    hub.set(|state| state.cuts = cuts(&[1000]));
    // Requests: the list, three files' sizes, two small files, the weights, and the refused rest of them.
    hub.set(|state| state.refused_content = Some((3, 416)));
    assert_eq!(comes(&hub, &home).len(), 2);
}

#[test]
fn false_lengths_are_told() {
    let hub = hub();
    hub.set(|state| state.other_total = true);
    fails(&hub, &["maker/model/config.json", "it promised 2 bytes, and names 3 now"]);
    hub.set(|state| (state.other_total, state.oversend) = (false, 5));
    fails(&hub, &["maker/model/config.json", "it promised 2 bytes, and sends 7"]);
    hub.set(|state| (state.oversend, state.overpromise) = (0, 5));
    fails(&hub, &["maker/model/config.json", "the hub promised 7 bytes, and 2 came"]);
}

#[test]
fn the_token_stays_with_the_hub() {
    let (hub, store, home) = (hub(), hub(), Scratch::empty());
    hub.set(|state| {
        state.redirect = true;
        state.elsewhere = Some(store.endpoint.trim_start_matches("http://").into());
    });
    let options = HubOptions { token: Some("secret".into()), ..options(&hub, &home) };
    get(&options).0.unwrap();
    assert!(hub.requests().iter().all(|request| request.authorization.as_deref() == Some("Bearer secret")));
    let elsewhere = store.requests();
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|request| request.authorization.is_none()));
}

#[test]
fn redirects_end() {
    let hub = hub();
    let around = format!("{}/maker/model/resolve/main/config.json", hub.endpoint);
    hub.set(|state| (state.status, state.headers) = (Some(302), format!("Location: {around}\r\n")));
    fails(&hub, &["redirects more than 10 times"]);
}

#[test]
fn two_downloads_of_one_file_wait_for_each_other() {
    let (hub, home) = (hub(), Scratch::empty());
    let locks = home.path("hub/.locks/models--maker--model");
    std::fs::create_dir_all(&locks).unwrap();
    let lock = std::fs::File::create(locks.join(format!("tag-{WEIGHTS}.lock"))).unwrap();
    lock.lock().unwrap();
    let error = get(&options(&hub, &home)).0.unwrap_err().to_string();
    assert!(error.contains("maker/model/model.safetensors: another process is downloading this file"), "{error}");
    let patient = HubOptions { stall_timeout: Duration::from_secs(5), ..options(&hub, &home) };
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        drop(lock);
    });
    get(&patient).0.unwrap();
    other.join().unwrap();
}

#[test]
fn a_cache_that_cannot_be_written_is_told() {
    let (hub, home) = (hub(), Scratch::empty());
    home.write("hub", "a file");
    let error = get(&options(&hub, &home)).0.unwrap_err().to_string();
    assert!(error.starts_with("maker/model: the cache could not be written: set HF_HOME"), "{error}");
}

/// Something between here and the hub answers everything with a page.
#[test]
fn what_is_no_hub_is_told() {
    let (hub, home) = (Hub::new(&[]), Scratch::empty());
    hub.set(|state| state.status = Some(200));
    let error = get(&options(&hub, &home)).0.unwrap_err().to_string();
    for word in ["maker/model/config.json", "does not answer as a model hub does: no usable ETag", "HF_ENDPOINT"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_hub_without_lists_of_files_works_too() {
    let (hub, home) = (hub(), Scratch::empty());
    hub.set(|state| state.plain = true);
    assert!(comes(&hub, &home).is_empty());
}
