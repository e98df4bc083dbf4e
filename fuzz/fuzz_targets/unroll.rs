//! The directives of shader texts. Counts stay small: a text of nested repetitions may ask for more lines than there is memory.
#![no_main]

use bimetal::low_level::compute::wgpu::unroll::unroll;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
    if text.matches("#repeat").count() <= 3 && text.lines().all(|line| !line.contains('#') || digits(line) <= 2) {
        let _ = unroll("fuzzed.wgsl", text, &|name| (name.len() < 4).then_some(3));
    }
});
