//! A GGUF file in memory, and the side files that are made of its keys.
#![no_main]

use bimetal::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::embedded_gguf(bytes.to_vec()) {
        let _ = checkpoint.check();
        for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
            let _ = checkpoint.side_file(name);
        }
    }
});
