//! What chunked prefill is worth: the same prompt in chunks and token by token, and how far the results are apart.

use std::{sync::Arc, time::Instant};

use bimetal::{
    Result,
    engine::Options,
    kernels::operands::step::{Entry, Kind},
    model::{Model, cache::BLOCK},
};

use super::recording::{Prepared, Recording, Shape, cache, ids};
use crate::cli::output::print;

const TOKENS: u32 = 1000;

/// Prints both rates, their ratio and the largest difference of the last token's logits.
pub fn compare(model: &Arc<Model>, options: &Options) -> Result<()> {
    let budget = options.budget_on(model.backend.caps());
    let shapes = [(Kind::Prompt, budget), (Kind::Decode, 1)];
    let shapes = shapes.map(|(kind, rows)| Shape { kind, rows, depth: 0 });
    let mut cache = cache(&model.backend, model, (shapes[0], TOKENS.next_multiple_of(BLOCK)), options.kv)?;
    let ids = ids(TOKENS, model.vocabulary);
    let mut measured = Vec::new();
    for shape in shapes {
        let prepared = Recording::new(&model.backend, model, &mut cache, shape)?.prepare(model)?;
        compute(model, &prepared, (&ids, shape))?;
        measured.push(compute(model, &prepared, (&ids, shape))?);
    }
    let [(chunked, a), (looped, b)] = &measured[..] else { unreachable!("two ways were measured") };
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    print(&format!(
        "{TOKENS} tokens: in chunks of {} {chunked:.1} tok/s, token by token {looped:.1} tok/s, {:.1} times; logits \
         max_abs_diff {apart:.6}\n",
        budget,
        chunked / looped,
    ))
}

/// Tokens per second and the last token's logits.
fn compute(model: &Model, prepared: &Prepared, (ids, shape): (&[u32], Shape)) -> Result<(f64, Vec<f32>)> {
    let started = Instant::now();
    let mut position = 0;
    for chunk in ids.chunks(shape.rows as usize) {
        let rows = chunk.len() as u32;
        let first = if position + rows == ids.len() as u32 { rows - 1 } else { rows };
        prepared.step.write(&[Entry { ids: chunk, position, slot: 0, outputs: first..rows }])?;
        model.backend.run(&prepared.program)?;
        if shape.kind == Kind::Decode {
            // What a loop over tokens does: it looks at each before it goes on.
            pollster::block_on(prepared.tokens.read(0..1))?;
        }
        position += rows;
    }
    let bytes = pollster::block_on(prepared.logits.read(0..u64::from(prepared.logits.width())))?;
    let rate = ids.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, bytemuck::allocation::pod_collect_to_vec(&bytes)))
}
