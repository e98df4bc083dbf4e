//! Models from the test's own hub.

use crate::{
    run::{Outcome, checkpoint, command, finish, run},
    server::Hub,
    support::scratch::{Scratch, WEIGHTS},
};

fn generate(hub: &Hub, home: &Scratch) -> Outcome {
    let mut command = command(&["generate", "a", "-n", "2", "--backend", "cpu", "--model", "maker/model"]);
    finish(command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0))
}

fn hub() -> Hub {
    let model = checkpoint();
    let files = ["config.json", "tokenizer.json", WEIGHTS].map(|name| (name, model.read(name)));
    Hub::new(&files.each_ref().map(|(name, content)| (*name, content.as_slice())))
}

#[test]
fn a_model_is_fetched_once() {
    let (hub, home) = (hub(), Scratch::empty());
    let first = generate(&hub, &home).succeeds();
    assert!(first.out.starts_with('a'), "{}", first.out);
    // Without a terminal: what, how large and where to, and a line at the end.
    let lines: Vec<_> = first.err.lines().collect();
    assert_eq!(lines[0], format!("downloading maker/model: 3 files, 1.2 MiB, to {}", home.path("hub").display()));
    assert!(lines[1].starts_with("downloaded maker/model: 1.2 MiB in "), "{}", first.err);
    assert!(!hub.requests().is_empty());
    generate(&hub, &home).succeeds();
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn no_such_repository() {
    let (hub, home) = (hub(), Scratch::empty());
    hub.set(|state| state.status = Some(404));
    let endpoint = &hub.endpoint;
    generate(&hub, &home).refuses(&format!(
        "maker/model/config.json: HTTP status 404: no such repository or revision. Check the name at \
         {endpoint}/maker/model. There is no directory maker/model on this machine either"
    ));
}

#[test]
fn no_hub() {
    let outcome = run(&["generate", "a", "--model", "maker/model"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""));
    // The system's text in the middle differs.
    let begin = "error: maker/model: no connection to http://127.0.0.1:9: ";
    let end = ". Check the network and HF_ENDPOINT; what is complete in the cache runs without\n";
    assert!(outcome.err.starts_with(begin) && outcome.err.ends_with(end), "{}", outcome.err);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let (hub, home) = (hub(), Scratch::empty());
    let blobs = home.path("hub/models--maker--model/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    // Every write there fails: no space is left on the device.
    std::os::unix::fs::symlink("/dev/full", blobs.join(format!("tag-{WEIGHTS}.incomplete"))).unwrap();
    let cache = home.path("hub");
    let outcome = generate(&hub, &home);
    let (first, error) = outcome.err.split_once('\n').unwrap();
    assert_eq!(first, format!("downloading maker/model: 3 files, 1.2 MiB, to {}", cache.display()));
    let want = format!(
        "error: maker/model/model.safetensors: the disk is full: free some space, or set HF_HOME to a \
         directory on another disk; in {}: No space left on device (os error 28). What has come so far is kept\n",
        cache.display()
    );
    assert_eq!((error, outcome.code), (&*want, Some(1)));
}

#[test]
fn a_hub_that_goes_silent_is_asked_again() {
    let (hub, home) = (hub(), Scratch::empty());
    hub.set(|state| (state.cuts, state.stall) = (vec![usize::MAX, usize::MAX, 1000], true));
    let mut command = command(&["generate", "a", "-n", "2", "--backend", "cpu", "--model", "maker/model"]);
    let command = command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0).env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    let outcome = finish(command).succeeds();
    let want = "model.safetensors: stalled for 1 s, trying again in 1 s\n";
    assert!(outcome.err.contains(want), "{}", outcome.err);
}

#[test]
fn a_path_is_only_spoken_of_where_one_could_be_meant() {
    let (hub, home) = (hub(), Scratch::empty());
    let refused = |model: &str, status| {
        hub.set(|state| state.status = Some(status));
        let mut command = command(&["generate", "a", "-n", "2", "--model", model]);
        finish(command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", &home.0)).err
    };
    let hint = "There is no directory";
    assert!(refused("maker/model", 401).contains(hint));
    for (model, status) in [("maker/model", 403), ("maker/model@v1", 404), ("maker/model:Q4_K_M", 404)] {
        assert!(!refused(model, status).contains(hint), "{model}: {status}");
    }
    // The directory that would hold it is here.
    assert!(refused("src/model-a", 403).contains("There is no directory src/model-a on this machine either"));
    assert!(refused("maker/model/a.gguf", 404).contains("There is no file maker/model/a.gguf on this machine either"));
}
