//! `pull`, `ls`, `rm`, and the choice of GGUF files.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::Value;

use crate::{
    run::{Outcome, checkpoint, command, finish, readable},
    server::{COMMIT, Hub},
    support::scratch::{Scratch, WEIGHTS},
};

const REPOSITORY: &str = "hub/models--maker--model";

fn bimetal(hub: &Hub, home: &Scratch, arguments: &[&str]) -> Outcome {
    let outcome = finish(command(arguments).env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0));
    readable(arguments, &outcome.out);
    outcome
}

fn gguf() -> Vec<u8> {
    fs::read(crate::support::fixtures::fixture("gguf/mixed.gguf")).unwrap()
}

/// A repository of GGUF files: two small models, one in two parts, and a vision encoder.
fn ggufs() -> Hub {
    let part = |number| format!("big/model-Q8_0-0000{number}-of-00002.gguf");
    Hub::new(&[
        ("README.md", b"no model"),
        ("model-Q4_K_M.gguf", &gguf()),
        ("model-BF16.gguf", b"GGUF, but broken"),
        (&part(1), b"first"),
        (&part(2), b"second"),
        ("mmproj-BF16.gguf", b"eyes"),
    ])
}

#[track_caller]
fn listed(home: &Scratch, hub: &Hub) -> Vec<Value> {
    let out = bimetal(hub, home, &["ls", "--json"]).succeeds().out;
    serde_json::from_str::<Value>(&out).unwrap().as_array().unwrap().clone()
}

#[test]
fn a_quantization_or_a_file_is_downloaded_and_runs() {
    let (hub, home) = (ggufs(), Scratch::empty());
    for model in ["maker/model:q4_k_m", "maker/model/model-Q4_K_M.gguf", "maker/model"] {
        let out = bimetal(&hub, &home, &["generate", "Once", "-n", "2", "-b", "cpu", "-m", model]).succeeds().out;
        assert!(out.starts_with("Once"), "{out}");
        // The name alone takes the only one that is here.
        let asked = hub.requests().iter().filter(|request| request.is_content()).count();
        assert_eq!(asked, usize::from(model.contains(':')), "{model}");
    }
    assert!(!home.path(REPOSITORY).join("snapshots").join(COMMIT).join("model-BF16.gguf").exists());
}

/// A quantized copy in the cache does not stand in for safetensors files, unless nothing else can be had.
#[test]
fn the_name_alone_means_safetensors_files_where_there_are_some() {
    let (hub, home) = (ggufs(), Scratch::empty());
    let files = ["config.json", "tokenizer.json", WEIGHTS];
    hub.set(|state| state.files.extend(files.map(|name| (name.to_owned(), b"x".to_vec()))));
    bimetal(&hub, &home, &["pull", "maker/model:Q4_K_M"]).succeeds();
    let offline = |value: &str| {
        let mut command = command(&["info", "-m", "maker/model"]);
        finish(command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0).env("HF_HUB_OFFLINE", value))
    };
    assert!(offline("0").err.starts_with("error: maker/model/config.json: "), "{}", offline("0").err);
    assert!(offline("1").succeeds().out.contains("model-Q4_K_M.gguf"));
}

#[test]
fn all_parts_come() {
    let (hub, home) = (ggufs(), Scratch::empty());
    for model in ["maker/model:Q8_0", "maker/model/big/model-Q8_0-00002-of-00002.gguf"] {
        let out = bimetal(&hub, &home, &["pull", model]).succeeds().out;
        assert!(out.trim_end().ends_with("big/model-Q8_0-00001-of-00002.gguf"), "{out}");
        let second = Path::new(out.trim_end()).with_file_name("model-Q8_0-00002-of-00002.gguf");
        assert_eq!(fs::read(second).unwrap(), b"second");
    }
}

#[test]
fn without_a_choice_the_files_are_listed() {
    let (hub, home) = (ggufs(), Scratch::empty());
    let outcome = bimetal(&hub, &home, &["generate", "a", "-m", "maker/model"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""));
    let size = format!("{:.1} KiB", gguf().len() as f64 / 1024.0);
    assert_eq!(
        outcome.err,
        format!(
            "error: maker/model: the repository has several GGUF files: choose one\n  \
             big/model-Q8_0-00001-of-00002.gguf       11 B, 2 parts\n  \
             model-BF16.gguf                          16 B\n  \
             model-Q4_K_M.gguf                   {size:>9}\n\
             For example: maker/model:Q4_K_M, or maker/model/model-Q4_K_M.gguf\n"
        )
    );
    let outcome = bimetal(&hub, &home, &["generate", "a", "-m", "maker/model:Q2_K"]);
    assert!(outcome.err.contains("no GGUF file has this quantization in its name"), "{}", outcome.err);
    let outcome = bimetal(&hub, &home, &["generate", "a", "-m", "maker/model/model-Q2_K.gguf"]);
    assert!(
        outcome.err.contains("maker/model/model-Q2_K.gguf: the repository has no such file. It has"),
        "{}",
        outcome.err
    );
}

#[test]
fn info_reads_headers_and_writes_nothing() {
    let model = checkpoint();
    let files = ["config.json", "tokenizer.json", WEIGHTS].map(|name| (name, model.read(name)));
    let (hub, home) = (Hub::new(&files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()))), Scratch::empty());
    let out = bimetal(&hub, &home, &["info", "--json", "-m", "maker/model"]).succeeds().out;
    let (found, want): (Value, Value) =
        (serde_json::from_str(&out).unwrap(), serde_json::from_str(&model.run_info()).unwrap());
    assert_eq!((&found["parameters"], &found["bytes"]), (&want["parameters"], &want["bytes"]));
    let asked = hub.requests().into_iter().filter(|request| request.path.ends_with(WEIGHTS));
    let last = asked.filter_map(|request| request.range.rsplit_once('-')?.1.parse::<usize>().ok()).max();
    assert_eq!(last, Some((1 << 18) - 1), "of {} bytes", files[2].1.len());
    assert!(!home.path("hub").exists());

    let hub = ggufs();
    let out = bimetal(&hub, &home, &["info", "-m", "maker/model:Q4_K_M"]).succeeds().out;
    assert!(out.contains("not loaded     multi-token prediction: 3 tensors"), "{out}");
}

impl Scratch {
    fn run_info(&self) -> String {
        crate::run::run(&["info", "--json", "-m", self.0.to_str().unwrap()]).succeeds().out
    }
}

#[test]
fn pull_brings_what_is_new_and_mends_what_is_cut_off() {
    let (hub, home) =
        (Hub::new(&[("config.json", b"{}"), ("tokenizer.json", b"{}"), (WEIGHTS, b"old")]), Scratch::empty());
    bimetal(&hub, &home, &["pull", "maker/model"]).succeeds();
    let blob = home.path(REPOSITORY).join(format!("blobs/tag-{WEIGHTS}"));
    fs::write(&blob, b"o").unwrap();
    bimetal(&hub, &home, &["pull", "maker/model"]).succeeds();
    assert_eq!(fs::read(&blob).unwrap(), b"old");
    hub.requests();

    hub.set(|state| state.commit = COMMIT.replace('0', "f"));
    let out = bimetal(&hub, &home, &["pull", "maker/model"]).succeeds().out;
    assert!(out.contains(&COMMIT.replace('0', "f")), "{out}");
    let contents = hub.requests().iter().filter(|request| request.is_content()).count();
    assert_eq!(contents, 0, "equal files are not downloaded again");
    assert_eq!(fs::read_to_string(home.path(REPOSITORY).join("refs/main")).unwrap(), COMMIT.replace('0', "f"));
}

#[test]
fn models_are_listed_and_removed() {
    let (hub, home) = (ggufs(), Scratch::empty());
    assert!(bimetal(&hub, &home, &["ls"]).succeeds().err.starts_with("no models in "));
    for model in ["maker/model:Q4_K_M", "maker/model:BF16"] {
        bimetal(&hub, &home, &["pull", model]).succeeds();
    }
    let found = listed(&home, &hub);
    let names: Vec<_> = found.iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["maker/model:BF16", "maker/model:Q4_K_M"]);
    assert_eq!((&found[0]["bytes"], &found[0]["complete"]), (&16.into(), &true.into()));
    assert!(found[0]["path"].as_str().unwrap().ends_with("model-BF16.gguf") && found[0]["modified"].is_string());
    let table = bimetal(&hub, &home, &["ls"]).succeeds().out;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[1].starts_with("maker/model:BF16    ") && lines[1].contains(" 16 B  "), "{table}");
    assert!(lines.len() == 4 && lines[3].contains("KiB in "), "{table}");

    let refused = bimetal(&hub, &home, &["rm", "maker/model:BF16"]);
    refused.refuses("rm maker/model:BF16 would free 16 B: add -y to remove without a question");
    let removed = bimetal(&hub, &home, &["rm", "-y", "maker/model:bf16"]).succeeds();
    assert_eq!(removed.out, "removed maker/model:bf16: 16 B freed\n");
    let blobs = fs::read_dir(home.path(REPOSITORY).join("blobs")).unwrap().count();
    assert_eq!((blobs, listed(&home, &hub).len()), (1, 1));
    let size = format!("{:.1} KiB", gguf().len() as f64 / 1024.0);
    bimetal(&hub, &home, &["rm", "maker/model"]).refuses(&format!(
        "rm maker/model would remove maker/model with all its revisions and quantizations and free {size}: add -y to \
         remove without a question"
    ));
    bimetal(&hub, &home, &["rm", "-y", "maker/model"]).succeeds();
    assert!(!home.path(REPOSITORY).exists());
    let cache = home.path("hub");
    bimetal(&hub, &home, &["rm", "-y", "maker/model"])
        .refuses(&format!("maker/model is not in the cache at {}: `bimetal ls` lists what is there", cache.display()));
    let refused = bimetal(&hub, &home, &["rm", "-y", "../model"]);
    assert!(refused.err.contains("names no model on the hub") && refused.code == Some(1), "{}", refused.err);
}

/// Nothing of a long name is lost: it continues on a line below.
#[test]
fn long_names_are_listed_within_100_columns() {
    let (hub, home) = (ggufs(), Scratch::empty());
    let (owner, name) = ("m".repeat(40), "n".repeat(80));
    let blobs = home.path(&format!("hub/models--{owner}--{name}/blobs"));
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join("tag.incomplete"), [0; 300]).unwrap();
    let table = bimetal(&hub, &home, &["ls"]).succeeds().out;
    let shown: String = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(shown.contains(&format!("{owner}/{name}")), "{table}");
}

#[test]
fn an_unfinished_download_is_listed_and_removed() {
    let (hub, home) = (ggufs(), Scratch::empty());
    fs::create_dir_all(home.path(REPOSITORY).join("blobs")).unwrap();
    fs::write(home.path(REPOSITORY).join("blobs/tag.incomplete"), [0; 300]).unwrap();
    let found = listed(&home, &hub);
    assert_eq!((&found[0]["model"], &found[0]["bytes"]), (&"maker/model".into(), &300.into()));
    assert_eq!(found[0]["complete"], false);
    let table = bimetal(&hub, &home, &["ls"]).succeeds().out;
    assert!(table.contains("maker/model (incomplete)  300 B  "), "{table}");
    let removed = bimetal(&hub, &home, &["rm", "-y", "maker/model"]).succeeds().out;
    assert_eq!(removed, "removed maker/model: 300 B freed\n");
}

/// Two revisions of another tool share a file: its contents stay until nobody names them.
#[test]
fn shared_contents_outlive_one_revision() {
    let (hub, home) = (Hub::new(&[]), Scratch::empty());
    let repository = home.path(REPOSITORY);
    let link = |commit: &str, file: &str, tag: &str| {
        let directory = repository.join("snapshots").join(commit);
        fs::create_dir_all(&directory).unwrap();
        symlink(Path::new("../../blobs").join(tag), directory.join(file)).unwrap();
    };
    for directory in ["refs", "blobs"] {
        fs::create_dir_all(repository.join(directory)).unwrap();
    }
    for (tag, bytes) in [("config", 2000), ("first", 1000), ("second", 500)] {
        fs::write(repository.join("blobs").join(tag), vec![b'x'; bytes]).unwrap();
    }
    for (name, commit, weights) in [("main", "aaa", "first"), ("v1", "bbb", "second")] {
        fs::write(repository.join("refs").join(name), commit).unwrap();
        for file in ["config.json", "tokenizer.json"] {
            link(commit, file, "config");
        }
        link(commit, WEIGHTS, weights);
    }
    let names =
        |found: &[Value]| found.iter().map(|model| model["model"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&listed(&home, &hub)), ["maker/model", "maker/model@v1"]);
    let table = bimetal(&hub, &home, &["ls"]).succeeds().out;
    assert!(table.lines().last().unwrap().starts_with("3.4 KiB in "), "{table}");
    let removed = bimetal(&hub, &home, &["rm", "-y", "maker/model@v1"]).succeeds().out;
    assert_eq!(removed, "removed maker/model@v1: 500 B freed\n");
    assert_eq!(names(&listed(&home, &hub)), ["maker/model"]);
    assert!(repository.join("blobs/config").exists() && !repository.join("refs/v1").exists());
}

#[test]
fn a_removal_takes_what_is_there_and_counts_it_once() {
    let (hub, home) = (ggufs(), Scratch::empty());
    bimetal(&hub, &home, &["pull", "maker/model:Q4_K_M"]).succeeds();
    hub.set(|state| state.commit = COMMIT.replace('0', "f"));
    bimetal(&hub, &home, &["pull", "maker/model@v1:BF16"]).succeeds();
    // One revision lacks it, and the other lacks the second.
    let error = bimetal(&hub, &home, &["rm", "-y", "maker/model:Q2_K"]).err;
    assert!(error.starts_with("error: maker/model: no GGUF file has this quantization"), "{error}");
    let size = format!("{:.1} KiB", gguf().len() as f64 / 1024.0);
    let removed = bimetal(&hub, &home, &["rm", "-y", "maker/model:Q4_K_M"]).succeeds().out;
    assert_eq!(removed, format!("removed maker/model:Q4_K_M: {size} freed\n"));
    bimetal(&hub, &home, &["pull", "maker/model:Q4_K_M"]).succeeds();
    let removed =
        bimetal(&hub, &home, &["rm", "-y", "maker/model:BF16", "maker/model", "maker/model:q4_k_m"]).succeeds();
    assert_eq!(removed.out, format!("removed maker/model:BF16: 16 B freed\nremoved maker/model: {size} freed\n"));
    assert_eq!(removed.err, "maker/model:q4_k_m was removed with the others\n");
    assert!(!home.path(REPOSITORY).exists());
}

#[test]
fn a_commit_is_shown_and_understood_by_its_first_digits() {
    let (hub, home) = (ggufs(), Scratch::empty());
    let first = bimetal(&hub, &home, &["pull", "maker/model:BF16"]).succeeds();
    assert!(first.err.starts_with("downloading maker/model:BF16: 1 file, 16 B"), "{}", first.err);
    let again = bimetal(&hub, &home, &["pull", "maker/model:BF16"]).succeeds();
    assert_eq!(again.err, "maker/model:BF16: nothing new, all of commit 0123456 was here already\n");
    assert_eq!(again.out, first.out);
    // What is left of a broken download counts, also beside a complete model.
    let repository = home.path(REPOSITORY);
    fs::write(repository.join("blobs/tag.incomplete"), [0; 300]).unwrap();
    assert!(bimetal(&hub, &home, &["ls"]).succeeds().out.contains("maker/model (incomplete)  300 B"));
    let other = COMMIT.replace('0', "f");
    fs::create_dir_all(repository.join("snapshots").join(&other)).unwrap();
    fs::write(repository.join("snapshots").join(&other).join("config.json"), "{}").unwrap();
    let table = bimetal(&hub, &home, &["ls"]).succeeds().out;
    assert!(table.contains("maker/model@f123456 (incomplete)  302 B"), "{table}");
    assert_eq!(listed(&home, &hub)[1]["model"], format!("maker/model@{other}"));
    let removed = bimetal(&hub, &home, &["rm", "-y", "maker/model@f123456"]).succeeds().out;
    assert_eq!(removed, "removed maker/model@f123456: 2 B freed\n");
}
