//! A checkpoint in memory: a config.json, and a safetensors file behind the first zero byte.
#![no_main]

use bimetal::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (config, weights) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Ok(checkpoint) = Checkpoint::embedded(config, weights.to_vec(), &[]) {
        let _ = checkpoint.check();
        let _ = checkpoint.summary();
    }
});
