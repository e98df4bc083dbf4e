//! Scores a model on an existing text: its perplexity, and the divergence of another model's distributions from its
//! own.
//!
//! An engine computes logits only for the last row of a prompt; here every row gets logits, computed as in the engine.
//! Each part is scored and dropped while the next part runs, so only a few numbers per id remain.

mod distribution;
mod passage;
mod reader;
mod statistics;

use std::{ops::ControlFlow, sync::Arc};

use rayon::prelude::*;

use crate::{
    compute::{dtype::DType, memory::Pending},
    error::{Error, Result},
    model::Model,
};
pub use distribution::Distribution;
pub use passage::{Cut, Passage, Window, utf8};
use reader::{Part, Reader, parts};
pub use statistics::{Mean, quantile};

/// A model and its settings. The model's [`crate::model::Precision`] decides its types.
pub struct Side {
    /// The model, on its device.
    pub model: Arc<Model>,
    /// Type of keys and values in the cache.
    pub kv: DType,
}

/// Receives the number of computed ids and the total number; returns whether to continue.
pub type Progress<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// The part of a passage that was scored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Ids that were scored.
    pub scored: usize,
    /// Ids that were computed.
    pub computed: usize,
    /// Whether that is the whole passage.
    pub complete: bool,
}

/// How well a model predicts a text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Perplexity {
    /// Mean negative log-likelihood of the scored ids, in nats.
    pub nll: Mean,
    /// The scored part of the passage.
    pub extent: Extent,
}

impl Perplexity {
    /// Perplexity: the exponential of the mean.
    pub fn perplexity(&self) -> Mean {
        self.nll.exp()
    }
}

/// Differences of a model from a reference, over all scored ids of a text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Comparison {
    /// The reference's mean negative log-likelihood of the ids, in nats.
    pub reference: Mean,
    /// The other model's mean negative log-likelihood, in nats.
    pub against: Mean,
    /// Mean of (against − reference) negative log-likelihood: the logarithm of the perplexity ratio, against to
    /// reference.
    pub log_ratio: Mean,
    /// Kullback–Leibler divergence of the next-id distribution from the reference's, in nats.
    pub divergence: Mean,
    /// Median, 99 % quantile and maximum of the divergence.
    pub divergence_quantiles: [f64; 3],
    /// Share of ids with the same most likely id in both models.
    pub same_top: Mean,
    /// Mean gain in probability of the scored id: the other model's minus the reference's.
    pub gained: Mean,
    /// Root mean square of the gain.
    pub gained_root: f64,
    /// 1 % and 99 % quantiles of the gain.
    pub gained_quantiles: [f64; 2],
    /// The scored part of the passage.
    pub extent: Extent,
}

/// Scores a text with a model.
///
/// # Errors
/// [`Error::Request`] for ids outside the model's vocabulary and windows longer than its context; [`Error::Device`] for
/// logits with NaN or without a finite value; [`Error::OutOfMemory`].
pub fn perplexity(side: &Side, passage: &Passage, progress: &mut Progress<'_>) -> Result<Perplexity> {
    let mut losses = Vec::new();
    let note = &mut |log_probability: f64| losses.push(-log_probability);
    let extent = pollster::block_on(score(side, passage, progress, note))?;
    Ok(Perplexity { nll: Mean::of(&losses), extent })
}

/// The logarithm, in nats, of what a model thought of each scored id, in order.
///
/// # Errors
/// Those of [`perplexity`].
pub async fn log_probabilities(side: &Side, passage: &Passage) -> Result<Vec<f64>> {
    let mut found = Vec::with_capacity(passage.scored());
    let note = &mut |log_probability| found.push(log_probability);
    score(side, passage, &mut |_, _| ControlFlow::Continue(()), note).await?;
    Ok(found)
}

/// Tells `note` the logarithm of what a model thought of each scored id, in order.
async fn score(
    side: &Side,
    passage: &Passage,
    progress: &mut Progress<'_>,
    note: &mut dyn FnMut(f64),
) -> Result<Extent> {
    let mut score = |targets: &[u32], logits: &[Vec<f32>]| {
        let width = logits[0].len() / targets.len();
        let rows = logits[0].par_chunks_exact(width).zip(targets);
        let scored = rows.map(|(row, id)| Ok(distribution(row)?.log(*id)));
        scored.collect::<Result<Vec<f64>>>()?.into_iter().for_each(&mut *note);
        Ok(())
    };
    run(&[side], passage, progress, &mut score).await
}

/// Compares a model with a reference; both read the same text side by side.
///
/// # Errors
/// Those of [`perplexity`], and [`Error::Request`] for different vocabularies.
pub fn compare([reference, against]: [&Side; 2], passage: &Passage, progress: &mut Progress<'_>) -> Result<Comparison> {
    let [ours, theirs] = [reference, against].map(|side| side.model.config.vocabulary);
    if ours != theirs {
        let what = "distributions over different ids cannot be compared: give models of the same family";
        return Err(Error::Request(format!("the vocabulary is of {ours} ids, and of {theirs} in the other; {what}")));
    }
    let mut seen = Vec::new();
    let mut score = |targets: &[u32], logits: &[Vec<f32>]| {
        let [p, q] = [&logits[0], &logits[1]].map(|logits| logits.par_chunks_exact(logits.len() / targets.len()));
        let rows = p.zip(q).zip(targets);
        let compared = rows.map(|((p, q), id)| Ok(Seen::of([&distribution(p)?, &distribution(q)?], *id)));
        seen.extend(compared.collect::<Result<Vec<Seen>>>()?);
        Ok(())
    };
    let extent = pollster::block_on(run(&[reference, against], passage, progress, &mut score))?;
    Ok(summary(&seen, extent))
}

/// The scores of one id from two models.
struct Seen {
    losses: [f64; 2],
    divergence: f64,
    same_top: bool,
}

impl Seen {
    fn of([p, q]: [&Distribution<'_>; 2], id: u32) -> Self {
        let same_top = p.likeliest == q.likeliest;
        Self { losses: [-p.log(id), -q.log(id)], divergence: p.divergence(q), same_top }
    }

    fn gained(&self) -> f64 {
        let [before, after] = self.losses.map(|loss| (-loss).exp());
        after - before
    }
}

fn summary(seen: &[Seen], extent: Extent) -> Comparison {
    let all = |of: &dyn Fn(&Seen) -> f64| seen.iter().map(of).collect::<Vec<f64>>();
    let sorted = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        numbers
    };
    let (divergences, gained) = (all(&|seen| seen.divergence), all(&Seen::gained));
    let same_top = all(&|seen| f64::from(u8::from(seen.same_top)));
    let squares: Vec<f64> = gained.iter().map(|gained| gained.powi(2)).collect();
    let (divergence, gain) = (Mean::of(&divergences), Mean::of(&gained));
    let (divergences, gained) = (sorted(divergences), sorted(gained));
    Comparison {
        reference: Mean::of(&all(&|seen| seen.losses[0])),
        against: Mean::of(&all(&|seen| seen.losses[1])),
        log_ratio: Mean::of(&all(&|seen| seen.losses[1] - seen.losses[0])),
        divergence,
        divergence_quantiles: [0.5, 0.99, 1.0].map(|share| quantile(&divergences, share)),
        same_top: Mean::of(&same_top),
        gained: gain,
        gained_root: Mean::of(&squares).value.sqrt(),
        gained_quantiles: [0.01, 0.99].map(|share| quantile(&gained, share)),
        extent,
    }
}

fn distribution(row: &[f32]) -> Result<Distribution<'_>> {
    Distribution::of(row).ok_or_else(|| {
        let what = "the model's logits hold NaN, or nothing finite: its weights or this device compute nonsense";
        Error::Device { label: "scoring".into(), what: what.into() }
    })
}

/// Receives scored ids and, for each side, their logits: \[ids, V\].
type Score<'a> = dyn FnMut(&[u32], &[Vec<f32>]) -> Result<()> + 'a;

/// Computes a passage's windows on all sides, and scores each part while the next one runs.
async fn run(sides: &[&Side], passage: &Passage, progress: &mut Progress<'_>, score: &mut Score<'_>) -> Result<Extent> {
    let longest = passage.longest();
    sides.iter().try_for_each(|side| fit(&side.model, passage))?;
    let rows = reader::rows(sides, longest);
    let readers = sides.iter().map(|side| Reader::new(side, longest, rows)).collect::<Result<Vec<_>>>()?;
    let total = passage.windows.iter().map(|window| window.ids.len() - 1).sum();
    let (mut extent, mut before) = (Extent::default(), None);
    let mut settle = |part: Part<'_>, logits: Vec<Vec<f32>>| -> Result<ControlFlow<()>> {
        if !part.targets.is_empty() {
            score(part.targets, &logits)?;
        }
        extent.scored += part.targets.len();
        extent.computed += part.ids.len();
        Ok(progress(extent.computed, total))
    };
    for part in parts(&passage.ids, &passage.windows, rows) {
        let asked = readers.iter().map(|reader| reader.compute(&part)).collect::<Result<Vec<_>>>()?;
        let Some((earlier, asked)) = before.replace((part, asked)) else { continue };
        if settle(earlier, arrived(asked).await?)?.is_break() {
            before = None;
            break;
        }
    }
    if let Some((last, asked)) = before {
        _ = settle(last, arrived(asked).await?)?;
    }
    extent.complete = extent.computed == total;
    Ok(extent)
}

/// The logits of each model, once the devices have answered.
async fn arrived(asked: Vec<Pending>) -> Result<Vec<Vec<f32>>> {
    let mut logits = Vec::with_capacity(asked.len());
    for bytes in asked {
        logits.push(f32s(&bytes.await?));
    }
    Ok(logits)
}

/// Checks that a model can read a passage.
fn fit(model: &Model, passage: &Passage) -> Result<()> {
    let (vocabulary, context, longest) = (model.config.vocabulary, model.config.context, passage.longest());
    if let Some(id) = passage.ids.iter().find(|id| **id >= vocabulary) {
        let what = format!("token id {id} is not below the model's vocabulary of {vocabulary}");
        return Err(Error::Request(format!("{what}: its tokenizer is not of this model")));
    }
    if longest > context {
        let what = format!("a window of {longest} ids is longer than the model was made for");
        return Err(Error::Request(format!("{what}: --window {context} at most")));
    }
    Ok(())
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytemuck::allocation::pod_collect_to_vec(bytes)
}
