//! A prompt in one chunk, against the same prompt token by token.

use bimetal::low_level::kernels::operands::step::Phase;

use crate::{
    harness::{FULL, Harness, Look, largest_error},
    support::{backends, fixtures::checkpoint},
};

fn prompt(length: usize, seed: u32) -> Vec<u32> {
    (0..length as u32).map(|i| (i * 97 + seed * 31 + i * i % 13) % 128).collect()
}

/// On the cpu backend both paths compute the same sums in the same order; on a GPU they agree within round-off.
#[test]
fn chunked_prefill_equals_token_by_token() {
    for (name, backend) in backends::backends() {
        for length in [1, 2, 3, 4, 70] {
            let ids = prompt(length, 8);
            let mut harness = Harness::new(&backend, &checkpoint("tiny-f32"), FULL, 96);
            let chunked = harness.run(Phase::Prefill, &ids, 0, Look::Logits).logits.concat();
            let looped = (0..)
                .zip(&ids)
                .flat_map(|(position, id)| harness.run(Phase::Decode, &[*id], position, Look::Logits).logits.concat());
            let error = largest_error(&chunked, &looped.collect::<Vec<_>>());
            println!("{name}: {length} tokens in a chunk against token by token: max_abs_diff {error:.6}");
            let bound = if name == "cpu" { 0.0 } else { 1e-3 };
            assert!(error <= bound, "{name}: {error} over {bound}");
        }
    }
}
