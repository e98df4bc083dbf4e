//! Downloads from the test's own hub: complete, interrupted, rejected, and with a full disk.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bimetal::{
    Error, Result,
    low_level::hub::{DownloadEvent, HubOptions, RepoSpec, fetch},
};

use crate::server::{COMMIT, Hub};

/// The cache of one test, deleted with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bimetal-hub-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn weights() -> Vec<u8> {
    (0..100_000u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn options(hub: &Hub, scratch: &Scratch) -> HubOptions {
    let mut options = HubOptions::new(hub.endpoint.clone(), scratch.0.join("hub"));
    (options.stall_timeout, options.attempts, options.pause) = (Duration::from_millis(150), 3, Duration::ZERO);
    options
}

fn get(hub: &Hub, scratch: &Scratch) -> Result<PathBuf> {
    fetch(&RepoSpec::parse("maker/model").unwrap(), &options(hub, scratch), &mut |_| {})
}

fn model(weights: &[u8]) -> Hub {
    Hub::new(&[("config.json", b"{}"), ("tokenizer.json", b"{\"a\":1}"), ("model.safetensors", weights)])
}

/// The blob directory, where a test may put an obstacle before the download.
fn blobs(scratch: &Scratch) -> PathBuf {
    let path = scratch.0.join("hub/models--maker--model/blobs");
    fs::create_dir_all(&path).unwrap();
    path
}

#[track_caller]
fn complaint(outcome: Result<PathBuf>) -> String {
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Download { .. }), "{error:?}");
    error.to_string()
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn brings_what_is_needed_and_asks_nothing_again() {
    let (hub, scratch, weights) = (model(&weights()), Scratch::new("full"), weights());
    hub.set(|state| {
        state.files.insert("chat_template.jinja".into(), b"{{ messages }}".to_vec());
        state.files.insert("README.md".into(), b"not needed".to_vec());
        state.files.insert("pytorch_model.bin".into(), b"not needed".to_vec());
        state.redirect = true;
    });
    let directory = get(&hub, &scratch).unwrap();
    assert_eq!(names(&directory), ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(fs::read(directory.join("model.safetensors")).unwrap(), weights);
    assert!(directory.ends_with(format!("models--maker--model/snapshots/{COMMIT}")));
    let requests = hub.requests();
    assert!(requests.iter().all(|request| !request.path.contains("README") && !request.path.contains(".bin")));
    assert!(requests.iter().any(|request| request.path.starts_with("/elsewhere/")));

    assert_eq!(get(&hub, &scratch).unwrap(), directory);
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn follows_the_index_to_its_shards() {
    let index =
        br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    let hub = model(b"not named by the index");
    hub.set(|state| {
        state.files.insert("model.safetensors.index.json".into(), index.to_vec());
        state.files.insert("model-1.safetensors".into(), vec![1; 5000]);
        state.files.insert("model-2.safetensors".into(), vec![2; 7000]);
    });
    let scratch = Scratch::new("shards");
    let directory = get(&hub, &scratch).unwrap();
    assert_eq!(fs::read(directory.join("model-1.safetensors")).unwrap(), vec![1; 5000]);
    assert_eq!(fs::read(directory.join("model-2.safetensors")).unwrap(), vec![2; 7000]);
    assert!(!directory.join("model.safetensors").exists());
}

#[test]
fn refuses_an_index_that_leads_out_of_the_repository() {
    let hub = model(b"");
    let index = br#"{"weight_map": {"a": "../../../elsewhere.safetensors"}}"#;
    hub.set(|state| drop(state.files.insert("model.safetensors.index.json".into(), index.to_vec())));
    let error = get(&hub, &Scratch::new("escape")).unwrap_err();
    assert_says(&error.to_string(), &["model.safetensors.index.json", "outside", "../../../elsewhere.safetensors"]);
}

#[test]
fn goes_on_by_itself_after_a_cut_connection() {
    let (hub, scratch, weights) = (model(&weights()), Scratch::new("cut"), weights());
    // The two small files arrive complete; the weights break off twice.
    hub.set(|state| state.cuts = vec![usize::MAX, usize::MAX, 150_000, 100_000]);
    let directory = get(&hub, &scratch).unwrap();
    assert_eq!(fs::read(directory.join("model.safetensors")).unwrap(), weights);
    let ranges: Vec<_> = content(&hub);
    assert_eq!(ranges, ["bytes=0-", "bytes=150000-", "bytes=250000-"]);
}

/// The requested ranges of the weights' content.
fn content(hub: &Hub) -> Vec<String> {
    let requests = hub.requests().into_iter();
    requests.filter(|r| r.is_content() && r.path.ends_with("/model.safetensors")).map(|r| r.range).collect()
}

#[test]
fn a_second_run_resumes_what_the_first_left() {
    let (hub, scratch, weights) = (model(&weights()), Scratch::new("resume"), weights());
    hub.set(|state| state.cuts = vec![usize::MAX, usize::MAX, 200_000, 0, 0, 0]);
    assert_says(&complaint(get(&hub, &scratch)), &["maker/model/model.safetensors", "broke", "again"]);
    // After the bytes, two attempts more: three in a row that bring nothing are enough.
    assert_eq!(content(&hub), ["bytes=0-", "bytes=200000-", "bytes=200000-", "bytes=200000-"]);

    let directory = get(&hub, &scratch).unwrap();
    assert_eq!(fs::read(directory.join("model.safetensors")).unwrap(), weights);
    assert_eq!(content(&hub), ["bytes=200000-"]);
}

#[test]
fn starts_over_where_a_part_cannot_be_continued() {
    // Partial files as long as the whole one or longer, and a server that answers range requests with the whole file.
    for (name, part, whole) in
        [("part-full", 400_000, false), ("part-long", 500_000, false), ("part-whole", 1000, true)]
    {
        let (hub, scratch, weights) = (model(&weights()), Scratch::new(name), weights());
        fs::write(blobs(&scratch).join("tag-model.safetensors.incomplete"), vec![9; part]).unwrap();
        hub.set(|state| state.whole = whole);
        let directory = get(&hub, &scratch).unwrap();
        assert!(fs::read(directory.join("model.safetensors")).unwrap() == weights, "{name}");
    }
}

#[test]
fn tells_how_much_of_each_file_has_come() {
    let (hub, scratch) = (model(&weights()), Scratch::new("told"));
    hub.set(|state| state.cuts = vec![usize::MAX, usize::MAX, 150_000]);
    let mut told = Vec::new();
    let spec = RepoSpec::parse("maker/model").unwrap();
    let mut note = |event: DownloadEvent| {
        if let DownloadEvent::Received { file, done, total } = event {
            told.push((file.to_owned(), done, total));
        }
    };
    fetch(&spec, &options(&hub, &scratch), &mut note).unwrap();
    let of =
        |name: &str| told.iter().filter(|(file, ..)| file == name).map(|told| (told.1, told.2)).collect::<Vec<_>>();
    assert_eq!(of("config.json").last(), Some(&(2, 2)));
    let weights = of("model.safetensors");
    assert!(weights.iter().all(|(done, total)| done <= total && *total == 400_000));
    // The second attempt begins at the first one's break.
    assert!(weights.contains(&(150_000, 400_000)) && weights.last() == Some(&(400_000, 400_000)), "{weights:?}");
}

#[test]
fn tells_a_file_shorter_than_promised() {
    let hub = model(&weights());
    hub.set(|state| state.overpromise = 10);
    let text = complaint(get(&hub, &Scratch::new("short")));
    assert_says(&text, &["maker/model/config.json", "12 bytes", "promised"]);
}

#[test]
fn says_what_to_do_about_a_refusal() {
    let hub = model(b"");
    let (scratch, spec) = (Scratch::new("refusal"), RepoSpec::parse("maker/model@v2").unwrap());
    let ask = |status, token: Option<&str>| {
        hub.set(|state| state.status = Some(status));
        let options = HubOptions { token: token.map(Into::into), ..options(&hub, &scratch) };
        complaint(fetch(&spec, &options, &mut |_| {}))
    };
    assert_says(&ask(401, None), &["maker/model@v2: ", "401", "name", "gated", "HF_TOKEN", &hub.endpoint]);
    assert_says(&ask(401, Some("bad")), &["401", "not accepted", "HF_TOKEN"]);
    assert_says(&ask(403, None), &["403", "gated", "/maker/model", "HF_TOKEN"]);
    assert_says(&ask(403, Some("other")), &["403", "account", "terms"]);
    assert_says(&ask(404, None), &["maker/model@v2/config.json", "404", "no such repository or revision", "name"]);
    assert_says(&ask(503, None), &["503", "later"]);
}

#[test]
fn says_when_there_is_no_hub() {
    let (hub, scratch) = (model(b""), Scratch::new("nobody"));
    let nobody = HubOptions { endpoint: "http://127.0.0.1:9".into(), ..options(&hub, &scratch) };
    let spec = RepoSpec::parse("maker/model").unwrap();
    let text = complaint(fetch(&spec, &nobody, &mut |_| {}));
    assert_says(&text, &["no connection to http://127.0.0.1:9", "network", "HF_ENDPOINT"]);
}

#[test]
fn a_usable_snapshot_of_another_tool_runs_without_a_network() {
    let (hub, scratch) = (model(b"weights"), Scratch::new("offline"));
    let repository = scratch.0.join("hub/models--maker--model");
    let snapshot = repository.join("snapshots").join(COMMIT);
    for path in [&snapshot, &repository.join("refs")] {
        fs::create_dir_all(path).unwrap();
    }
    fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(snapshot.join(file), file).unwrap();
    }
    hub.set(|state| state.status = Some(503));
    assert_eq!(get(&hub, &scratch).unwrap(), snapshot);
}

#[test]
fn a_repository_without_weights_is_no_model() {
    for plain in [false, true] {
        let hub = Hub::new(&[("config.json", b"{}"), ("tokenizer.json", b"{}"), ("model.bin", b"other")]);
        hub.set(|state| state.plain = plain);
        let text = complaint(get(&hub, &Scratch::new("formless")));
        assert_says(&text, &["maker/model", "model.safetensors"]);
    }
}

#[test]
fn a_link_to_a_blob_that_was_deleted_is_mended() {
    let (hub, scratch, weights) = (model(&weights()), Scratch::new("dangling"), weights());
    let directory = get(&hub, &scratch).unwrap();
    fs::remove_file(fs::canonicalize(directory.join("model.safetensors")).unwrap()).unwrap();
    assert_eq!(get(&hub, &scratch).unwrap(), directory);
    assert_eq!(fs::read(directory.join("model.safetensors")).unwrap(), weights);
}

#[cfg(target_os = "linux")]
#[test]
fn names_a_full_disk() {
    let (hub, scratch) = (model(&weights()), Scratch::new("full-disk"));
    // Every write there fails: no space is left on the device.
    std::os::unix::fs::symlink("/dev/full", blobs(&scratch).join("tag-model.safetensors.incomplete")).unwrap();
    let text = complaint(get(&hub, &scratch));
    assert_says(&text, &["maker/model/model.safetensors", "disk is full", "HF_HOME", scratch.0.to_str().unwrap()]);
}

#[test]
fn sends_the_token_with_every_request() {
    let (hub, scratch) = (model(b"weights"), Scratch::new("token"));
    let variables = |name: &str| match name {
        "HF_HOME" => Some(scratch.0.clone().into_os_string()),
        "HF_ENDPOINT" => Some(format!("{}/", hub.endpoint).into()),
        _ => None,
    };
    fs::write(scratch.0.join("token"), "from-the-file\n").unwrap();
    let options = HubOptions::from_variables(variables).unwrap();
    assert_eq!((&options.cache, &options.endpoint), (&scratch.0.join("hub"), &hub.endpoint));
    fetch(&RepoSpec::parse("maker/model").unwrap(), &options, &mut |_| {}).unwrap();
    assert!(hub.requests().iter().all(|r| r.authorization.as_deref() == Some("Bearer from-the-file")));

    let named = |name: &str| if name == "HF_TOKEN" { Some("from-the-variable".into()) } else { variables(name) };
    let options = HubOptions::from_variables(named).unwrap();
    assert_eq!(options.token.as_deref(), Some("from-the-variable"));
    assert!(!format!("{options:?}").contains("from-the-variable"));
}

#[test]
fn asks_for_the_revision() {
    let (hub, scratch) = (model(b"weights"), Scratch::new("revision"));
    let spec = RepoSpec::parse("maker/model@refs/pr/1").unwrap();
    let directory = fetch(&spec, &options(&hub, &scratch), &mut |_| {}).unwrap();
    assert!(hub.requests()[0].path.starts_with("/api/models/maker/model/revision/refs%2Fpr%2F1?"));
    assert_eq!(fetch(&spec, &options(&hub, &scratch), &mut |_| {}).unwrap(), directory);
    let commit = RepoSpec::parse(&format!("maker/model@{COMMIT}")).unwrap();
    assert_eq!(fetch(&commit, &options(&hub, &scratch), &mut |_| {}).unwrap(), directory);
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn reads_a_specification_or_leaves_it() {
    for text in ["Qwen/Qwen3.5-0.8B", "a/b@main", "a/b@v1.0", "a_b/c-d@refs/pr/3"] {
        assert!(RepoSpec::parse(text).is_some(), "{text}");
    }
    for (text, name) in [
        ("a/b:q4_k_m", "a/b:q4_k_m"),
        ("a/b:Q8_0@v1", "a/b:Q8_0@v1"),
        ("a/b@v1:Q8_0", "a/b:Q8_0@v1"),
        ("a/b/sub dir/x-00001-of-00002.GGUF@v1", "a/b/sub dir/x-00001-of-00002.GGUF@v1"),
        ("hf.co/a/b:Q4_0", "a/b:Q4_0"),
        ("https://huggingface.co/a/b/", "a/b"),
        ("https://huggingface.co/a/b/tree/v1", "a/b@v1"),
        ("https://huggingface.co/a/b/blob/main/x.gguf", "a/b/x.gguf"),
        ("https://huggingface.co/a/b/resolve/v1/y/x.gguf?download=true", "a/b/y/x.gguf@v1"),
    ] {
        assert_eq!(RepoSpec::parse(text).map(|spec| spec.to_string()).as_deref(), Some(name));
    }
    assert_eq!(RepoSpec::parse("a/b@main"), RepoSpec::parse("a/b"));
    assert_eq!(RepoSpec::parse("a/b@v1").unwrap().to_string(), "a/b@v1");
    for text in [
        "",
        "name",
        "/b",
        "a/",
        "./model",
        "../model",
        "a/b/c",
        "a/b@",
        "a/b@../x",
        "~/model",
        "a b/c",
        "a/b?x",
        "a/b:",
        "a/b:q/x",
        "a/b:q@v:q",
        "a/b/../x.gguf",
        "a/b//x.gguf",
        "a/b/.gguf",
        "a/b/x.gguf:Q4",
        "C:/models/x.gguf",
        "C:\\m/x",
    ] {
        assert!(RepoSpec::parse(text).is_none(), "{text}");
    }
}

#[test]
fn says_which_time_ran_out() {
    for (silent, variable) in [(true, "HF_HUB_ETAG_TIMEOUT"), (false, "HF_HUB_DOWNLOAD_TIMEOUT")] {
        let (hub, scratch) = (model(&weights()), Scratch::new(variable));
        hub.set(|state| (state.silent, state.cuts, state.stall) = (silent, vec![usize::MAX, usize::MAX, 0], true));
        let short = Duration::from_millis(100);
        let options =
            HubOptions { attempts: 1, answer_timeout: short, stall_timeout: 2 * short, ..options(&hub, &scratch) };
        let options = if silent { options } else { HubOptions { answer_timeout: Duration::from_secs(5), ..options } };
        let text = complaint(fetch(&RepoSpec::parse("maker/model").unwrap(), &options, &mut |_| {}));
        assert_says(&text, &["stalled", &format!("{variable} sets this time")]);
    }
}
