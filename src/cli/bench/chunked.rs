//! What chunked prefill is worth: the same prompt in chunks and token by token, and how far the results are apart.

use std::{sync::Arc, time::Instant};

use bimetal::{
    Result,
    cache::{BLOCK, Cache, Plan},
    dtype::DType,
    generator::Setup,
    model::{Model, qwen3_5::forward},
    pass::{Pass, Program},
    step::{Entry, Kind, Layout, Step},
    tensor::Tensor,
};

use crate::cli::output::print;

const TOKENS: u32 = 1000;

/// Ids that look like a text's: spread over the vocabulary, the same every time.
pub fn ids(count: u32, vocabulary: u32) -> Vec<u32> {
    (0..count).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect()
}

/// One way to compute a prompt.
pub struct Way {
    step: Step,
    /// What runs.
    pub program: Program,
    logits: Tensor,
    rows: u32,
}

impl Way {
    /// Records the forward pass for `rows` rows of one sequence.
    pub fn new(model: &Model, cache: &mut Cache, kind: Kind, rows: u32) -> Result<Self> {
        let layout = Layout { rows, sequences: 1 };
        let step = Step::new(&model.backend, layout, kind, cache.tables.clone())?;
        let mut logits = Tensor::new(&model.backend, [1, model.config.vocabulary], DType::F32, "logits")?;
        let p = Pass::new(model.backend.caps());
        forward(&p, &model.weights, cache, &step, &mut logits);
        Ok(Self { step, program: model.backend.load(p)?, logits, rows })
    }

    /// Says what the next run computes, and whether the last row gets logits.
    pub fn write(&self, ids: &[u32], position: u32, last: bool) -> Result<()> {
        let rows = ids.len() as u32;
        let outputs = if last { rows - 1..rows } else { rows..rows };
        self.step.write(&[Entry { ids, position, slot: 0, outputs }])
    }

    /// Tokens per second and the last token's logits.
    fn run(&self, model: &Model, ids: &[u32]) -> Result<(f64, Vec<f32>)> {
        let started = Instant::now();
        for (i, chunk) in (0..).zip(ids.chunks(self.rows as usize)) {
            let position = i * self.rows;
            self.write(chunk, position, position + chunk.len() as u32 == ids.len() as u32)?;
            model.backend.run(&self.program)?;
            if self.rows == 1 {
                // What a loop over tokens does: it looks at each before it goes on.
                pollster::block_on(self.logits.read(0..1))?;
            }
        }
        let bytes = pollster::block_on(self.logits.read(0..u64::from(self.logits.width())))?;
        let rate = ids.len() as f64 / started.elapsed().as_secs_f64();
        Ok((rate, bytemuck::allocation::pod_collect_to_vec(&bytes)))
    }
}

/// Prints both rates, their ratio and the largest difference of the last token's logits.
pub fn compare(model: &Arc<Model>, setup: &Setup) -> Result<()> {
    let context = TOKENS.next_multiple_of(BLOCK);
    let plan = Plan { context, blocks: context / BLOCK, slots: 1, kv: setup.engine.kv };
    let mut cache = Cache::new(&model.backend, &model.config, &plan)?;
    cache.tables.write(0, &(0..plan.blocks).collect::<Vec<u32>>())?;
    let ids = ids(TOKENS, model.vocabulary);
    let mut measured = Vec::new();
    for (kind, rows) in [(Kind::Prompt, setup.engine.budget), (Kind::Decode, 1)] {
        let way = Way::new(model, &mut cache, kind, rows)?;
        way.run(model, &ids)?;
        measured.push(way.run(model, &ids)?);
    }
    let [(chunked, a), (looped, b)] = &measured[..] else { unreachable!("two ways were measured") };
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    print(&format!(
        "{TOKENS} tokens: in chunks of {} {chunked:.1} tok/s, token by token {looped:.1} tok/s, {:.1} times; logits \
         max_abs_diff {apart:.6}\n",
        setup.engine.budget,
        chunked / looped,
    ))
}
