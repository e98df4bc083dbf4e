//! Compares chunked prefill with token-by-token prefill of one prompt: speed, and difference of the results.

use std::{sync::Arc, time::Instant};

use bimetal::{
    EngineOptions, Model, Result, SequenceId,
    low_level::{
        compute::tensor::Tensor,
        engine::Prepared,
        kernels::operands::step::{Input, Phase, Work},
        model::cache::PAGE,
    },
};

use indicatif::ProgressBar;

use super::{
    effort::Effort,
    recording::{Shape, ids, record, runner},
};
use crate::cli::{
    figures::{count, counted, fixed, rate},
    output::print,
    progress::{MEASURING, bar},
    warm_up::patiently,
};

const TOKENS: u32 = 1000;

/// Prints both speeds, their ratio, and the maximum difference of the last token's logits.
pub fn compare(model: &Arc<Model>, options: &EngineOptions) -> Result<()> {
    let budget = options.budget_on(model.backend.caps());
    let shapes = [(Phase::Prefill, budget), (Phase::Decode, 1)];
    let shapes = shapes.map(|(phase, rows)| Shape { phase, rows, depth: 0 });
    let context = TOKENS.next_multiple_of(PAGE);
    let mut runner = runner(&model.backend, model, context, 1, options.kv)?;
    let ids = ids(TOKENS, model.vocabulary);
    let (mut measured, caps) = (Vec::new(), model.backend.caps());
    // Each way runs twice.
    let bar = bar(MEASURING, 2 * (u64::from(TOKENS) + Effort::on(caps).decode(1, TOKENS)));
    for shape in shapes {
        let mut recording = record(&mut runner, shape)?;
        let tokens = recording.choose(model)?;
        let way = Way { shape, prepared: patiently(caps, &bar, || runner.load(recording))?, tokens };
        patiently(caps, &bar, || compute(model, &way, &ids, &bar))?;
        measured.push(compute(model, &way, &ids, &bar)?);
    }
    drop(bar);
    let [(chunked, a), (looped, b)] = &measured[..] else { unreachable!("two ways were measured") };
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    print(&format!(
        "{}: in chunks of {} {} tok/s, token by token {} tok/s, {} times\nlogits max_abs_diff {apart:.6}\n",
        counted(TOKENS as usize, "token"),
        count(budget),
        rate(*chunked),
        rate(*looped),
        fixed(chunked / looped, 1),
    ))
}

/// A step to run, and the place of its tokens.
struct Way {
    shape: Shape,
    prepared: Prepared,
    tokens: Tensor,
}

/// Tokens per second, and the last token's logits.
fn compute(model: &Model, way: &Way, ids: &[u32], bar: &ProgressBar) -> Result<(f64, Vec<f32>)> {
    let Way { shape, prepared, tokens } = way;
    let effort = Effort::on(model.backend.caps()).step(Shape { rows: 1, ..*shape });
    let started = Instant::now();
    let mut position = 0;
    for chunk in ids.chunks(shape.rows as usize) {
        let work = Work::new(SequenceId::new(0), shape.phase, position..position + chunk.len());
        position = work.range.end;
        let work = if position == ids.len() { work.with_last_output() } else { work };
        prepared.step.write(&[Input { work: &work, tokens: chunk, slot: 0 }])?;
        model.backend.run(&prepared.program)?;
        if shape.phase == Phase::Decode {
            // A loop over tokens waits for each result before it continues.
            pollster::block_on(tokens.read(0..1))?;
        }
        bar.inc(effort * chunk.len() as u64);
    }
    let bytes = pollster::block_on(prepared.logits.read(0..u64::from(prepared.logits.width())))?;
    let rate = ids.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, bytemuck::allocation::pod_collect_to_vec(&bytes)))
}
