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
        "download of maker/model/config.json: HTTP status 404: no such repository or revision. Check the name at \
         {endpoint}/maker/model. There is no directory maker/model on this machine either"
    ));
}

#[test]
fn no_hub() {
    let outcome = run(&["generate", "a", "--model", "maker/model"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""));
    // The system's text in the middle differs.
    let begin = "error: download of maker/model/config.json: no connection to http://127.0.0.1:9: ";
    let end = ". Check the network and HF_ENDPOINT; what is complete in the cache runs without. There is no directory \
               maker/model on this machine either\n";
    assert!(outcome.err.starts_with(begin) && outcome.err.ends_with(end), "{}", outcome.err);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let (hub, home) = (hub(), Scratch::empty());
    let blobs = home.path("hub/models--maker--model/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    // Every write there fails: no space is left on the device.
    std::os::unix::fs::symlink("/dev/full", blobs.join(format!("tag-{WEIGHTS}")).with_extension("part")).unwrap();
    let cache = home.path("hub");
    generate(&hub, &home).refuses(&format!(
        "download of maker/model/model.safetensors: the disk is full: free some space, or set HF_HOME to a directory on \
         another disk; in {}: No space left on device (os error 28). What has come so far is kept. There is no directory \
         maker/model on this machine either",
        cache.display()
    ));
}
