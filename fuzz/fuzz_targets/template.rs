//! A chat template, compiled and rendered.
#![no_main]

use bimetal::{
    Message,
    low_level::text::chat_template::{Options, Template},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    if let Ok(template) = Template::new(source) {
        let messages = [Message::new("system", "Be brief."), Message::new("user", "Hello?")];
        let _ = template.render(&messages, &Options { generation_prompt: true, ..Options::default() });
    }
});
