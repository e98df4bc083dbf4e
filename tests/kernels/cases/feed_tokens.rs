use std::sync::Arc;

use bimetal::{
    SequenceId,
    low_level::kernels::{
        embed::embed,
        feed_tokens::feed_tokens,
        operands::{
            matrix::Matrix,
            step::{Input, Layout, Phase, Step, Work},
        },
    },
};

use crate::{harness::check, step_cases::recorder};

/// The tokens replace the ids, as an embedding shows. Every position increases by one, as a second read of the words
/// shows.
#[test]
pub fn cases() {
    for (count, rows, sequences) in [(1_u32, 1_u32, 1_u32), (3, 4, 5), (70, 70, 70)] {
        check(&format!("feed_tokens {count} of {rows}"), |case, p| {
            let tables = Arc::new(case.words([sequences, 1], &vec![0; sequences as usize]));
            let step = Step::new(case.backend(), Layout { rows, sequences, outputs: sequences }, Phase::Decode, tables)
                .unwrap();
            let ids: Vec<u32> = (0..count).map(|i| i % 7).collect();
            let work = |i: u32| {
                let at = 10 * i as usize;
                Work::new(SequenceId::new(i.into()), Phase::Decode, at..at + 1).with_last_output()
            };
            let work: Vec<_> = (0..count).map(work).collect();
            let input = |((slot, work), tokens)| Input { work, tokens, slot };
            let inputs = (0..).zip(&work).zip(ids.chunks(1)).map(input);
            step.write(&inputs.collect::<Vec<_>>()).unwrap();
            let tokens: Vec<u32> = (0..sequences).map(|i| (i * 5 + 3) % 7).collect();
            feed_tokens(recorder(p, &step), &case.words([sequences, 1], &tokens));
            let table = case.spread("table", [7, 16], bimetal::low_level::compute::dtype::DType::F32, -1.0..1.0);
            p.mark("ids", &embed(recorder(p, &step), &Matrix::new(vec![table])));
            p.mark("step", step.words());
        });
    }
}
