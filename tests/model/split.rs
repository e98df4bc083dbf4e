//! Matrices larger than a binding, and programs too long for one submission: split, with the same bits as whole.

use std::{sync::Arc, time::Duration};

use bimetal::{
    Backend,
    low_level::{
        compute::{
            caps::DeviceKind,
            wgpu::{Restrict, Wgpu},
        },
        kernels::operands::step::Phase,
        model::qwen3_5::{Mixer, Mlp},
    },
};

use crate::{
    harness::{FULL, HALF, Harness, Look, Precision, weights},
    support::fixtures::checkpoint,
};

/// Bytes per binding, the smallest first: it just holds the scratch of a step. That is more on a GPU that splits
/// contexts into many parts. The tables have up to 128 KiB. No row size divides it, so parts end in the middle of rows
/// that are computed together.
const BINDINGS: [u64; 2] = [15_004, 33_004];

const PROMPT: [u32; 7] = [3, 511, 0, 120, 57, 58, 400];
const ANSWER: [u32; 3] = [511, 1, 256];

/// The bits of every logit of a prompt and of the decode steps after it.
fn bits(harness: &mut Harness) -> Vec<u32> {
    let mut rows = harness.run(Phase::Prefill, &PROMPT, 0, Look::Logits).logits;
    for (position, id) in (PROMPT.len() as u32..).zip(ANSWER) {
        rows.extend(harness.run(Phase::Decode, &[id], position, Look::Logits).logits);
    }
    rows.concat().into_iter().map(f32::to_bits).collect()
}

/// Number of parts of the embedding, the head, an MLP's widest matrix, and each kind of mixer.
fn parts(harness: &Harness) -> Vec<usize> {
    let weights = weights(harness.runner.model());
    let mixers = weights.layers.iter().map(|layer| match &layer.mixer {
        Mixer::Attention(attention) => &attention.qkv,
        Mixer::DeltaNet(delta_net) => &delta_net.qkvzba,
    });
    let Mlp::Dense(mlp) = &weights.layers[0].mlp;
    let matrices = [&*weights.embed, &*weights.head, &mlp.gate_up].into_iter().chain(mixers);
    matrices.map(|matrix| matrix.parts().len()).collect()
}

fn check(name: &str, restrict: Restrict, fixture: &str, precision: Precision) {
    let mut adapters = Wgpu::adapters();
    adapters.sort_by_key(|adapter| adapter.caps().kind == DeviceKind::Software);
    let Some(adapter) = adapters.first() else { return println!("{name}: absent, so nothing was split") };
    let checkpoint = checkpoint(fixture);
    let open = |restrict| -> Arc<dyn Backend> { Arc::new(Wgpu::open(adapter, restrict).unwrap()) };
    let binding = BINDINGS[usize::from(adapter.caps().tiles.attend_splits > 16)];
    let [mut whole, mut split] = [restrict, restrict.max_binding(binding)]
        .map(|restrict| Harness::new(&open(restrict), &checkpoint, precision, 16));
    assert_eq!(split.backend.caps().max_binding, binding);
    let (pieces, mixers) = (parts(&split), parts(&whole));
    assert!(pieces[..2].iter().zip(&mixers).all(|(split, whole)| split > whole), "{name}: {pieces:?} of {mixers:?}");
    let all = pieces.iter().zip(&mixers).all(|(split, whole)| split > whole);
    assert!(all || binding > BINDINGS[0], "{name}: {pieces:?} parts of {mixers:?}");
    assert!(
        bits(&mut whole) == bits(&mut split),
        "{name}: {fixture}: {pieces:?} parts give other bits than {mixers:?}"
    );
    println!("{name}: {fixture}: {pieces:?} parts give the bits of {mixers:?}");
}

#[test]
fn programs_in_pieces_give_the_bits_of_whole_ones() {
    let Some(adapter) = Wgpu::adapters().into_iter().next() else { return };
    let checkpoint = checkpoint("tiny-f32");
    let restrict = Restrict::default();
    let [whole, submissions] = [Duration::from_secs(60), Duration::ZERO].map(|length| {
        let backend: Arc<dyn Backend> = Arc::new(Wgpu::open(&adapter, restrict.submission(length)).unwrap());
        bits(&mut Harness::new(&backend, &checkpoint, HALF, 16))
    });
    assert!(whole == submissions);
}

#[test]
fn matrices_in_parts_give_the_bits_of_whole_ones() {
    for (name, restrict) in [("wgpu", Restrict::default()), ("wgpu-plain", Restrict::webgpu())] {
        for fixture in ["tiny-f32", "tiny-tied-text-f32"] {
            for precision in [FULL, HALF] {
                check(name, restrict, fixture, precision);
            }
        }
    }
}
