//! A step may output logits for several rows of a sequence: each row has the same bits as when requested alone.

use std::path::Path;

use bimetal::{
    Checkpoint, SequenceId,
    low_level::{
        compute::dtype::DType,
        kernels::operands::step::{Phase, Work},
    },
};

use crate::{
    harness::{FULL, HALF, Harness, Look, Precision},
    present,
};

const SUBJECTS: [(&str, Precision); 3] =
    [("tiny-f32", FULL), ("tiny-f32", Precision { quant: Some(DType::Q4), ..FULL }), ("real-heads-bf16", HALF)];

#[test]
fn several_outputs_of_a_sequence_are_those_of_its_rows_alone() {
    let ids: Vec<u32> = (0..70).map(|i| (i * 97 + i * i % 13) % 96).collect();
    for ((backend_name, backend), (name, precision)) in
        present::backends().into_iter().flat_map(|one| SUBJECTS.map(|subject| (one.clone(), subject)))
    {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let mut harness = Harness::new(&backend, &Checkpoint::open(&fixture).unwrap(), precision, 96);
        let mut bits = |outputs| {
            let work = Work::new(SequenceId::new(0), Phase::Prefill, 0..70).with_outputs(outputs);
            let logits = harness.compute(&work, &ids, Look::Logits).logits;
            logits.into_iter().map(|row| row.into_iter().map(f32::to_bits).collect()).collect::<Vec<Vec<u32>>>()
        };
        for outputs in [64..70, 5..38] {
            let together = bits(outputs.clone());
            assert_eq!(together.len(), outputs.len());
            for (row, found) in outputs.zip(together).step_by(5) {
                assert_eq!(bits(row..row + 1), [found], "{name} {precision:?} on {backend_name}: row {row}");
            }
        }
    }
}
