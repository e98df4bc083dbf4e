//! Keys and values of 8 bits: all backends agree, and the loss is small.

use std::sync::Arc;

use bimetal::{
    Backend, Checkpoint,
    low_level::{
        compute::{cpu::Cpu, dtype::DType},
        kernels::operands::step::Phase,
        model::built_in,
    },
};

use crate::{
    harness::{FULL, HALF, Harness, Look, Precision, largest_error},
    support::{backends, fixtures},
};

const BYTES: Precision = Precision { kv: DType::Q8Heads, ..FULL };

/// Logits of a prompt, of decode steps after it, and of another chunk after those.
fn logits(backend: &Arc<dyn Backend>, checkpoint: &Checkpoint, precision: Precision) -> Vec<f32> {
    let ids: Vec<u32> = (0..70).map(|i| (i * 97 + i * i % 13) % 96).collect();
    let mut harness = Harness::new(backend, checkpoint, precision, 96);
    let mut logits = harness.run(Phase::Prefill, &ids, 0, Look::Logits).logits;
    for (position, id) in (70..).zip([3, 61, 9]) {
        logits.extend(harness.run(Phase::Decode, &[id], position, Look::Logits).logits);
    }
    logits.extend(harness.run(Phase::Prefill, &ids[..20], 73, Look::Logits).logits);
    logits.concat()
}

#[test]
fn every_backend_makes_the_same_of_them() {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    // With f16, matrix units read them if there are any. Rounding can then change the code of a value near the middle
    // between two codes.
    for (name, precision, bound) in
        [("tiny-f32", BYTES, 3e-3), ("real-heads-bf16", Precision { kv: DType::Q8Heads, ..HALF }, 0.05)]
    {
        let checkpoint = fixtures::checkpoint(name);
        let wanted = logits(&oracle, &checkpoint, precision);
        for (backend_name, backend) in backends::backends() {
            let error = largest_error(&logits(&backend, &checkpoint, precision), &wanted);
            println!("{name} on {backend_name}: {error:.1e}");
            assert!(error <= bound, "{name} on {backend_name}: {error}");
        }
    }
}

/// Root mean square of the differences, relative to the root mean square of the logits.
#[test]
fn little_is_lost() {
    let (backend, checkpoint): (Arc<dyn Backend>, _) = (Arc::new(Cpu::default()), built_in::open().unwrap());
    let [wanted, found] = [FULL, BYTES].map(|precision| logits(&backend, &checkpoint, precision));
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
    let lost = square(&mut found.iter().zip(&wanted).map(|(found, wanted)| found - wanted));
    let share = (lost / square(&mut wanted.iter().copied())).sqrt();
    println!("{share:.1e} of the logits");
    assert!((1e-5..0.01).contains(&share), "{share}");
}
