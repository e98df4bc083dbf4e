//! Samples one token from logits: penalties, temperature, cuts, random draw. Knows no device and no model.

mod random;
mod sampling;

use std::{cmp::Ordering, collections::HashMap};

use crate::{Error, Result};
use random::Random;
pub use sampling::{Mode, Sampling};

/// Number of largest logits that a device returns for [`Need::Candidates`].
pub const CANDIDATES: usize = 64;

/// The part of a row of logits that a sampler reads. It is the same for all tokens of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The id of the largest logit; among equal logits, the lowest id. The sampler makes no choice.
    Argmax,
    /// The [`CANDIDATES`] largest logits with their ids, sorted by descending logit, then ascending id. Sometimes they
    /// do not suffice: then [`Sampler::choose_candidates`] returns `None` and the whole row is read.
    Candidates,
    /// All logits.
    Row,
}

/// A possible choice: a token's id and its logit after the penalties.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    logit: f32,
}

impl Candidate {
    /// Larger logit first, then lower id. This is a total order: ids differ and no logit is NaN.
    fn order(&self, other: &Candidate) -> Ordering {
        other.logit.partial_cmp(&self.logit).unwrap_or(Ordering::Equal).then(self.id.cmp(&other.id))
    }
}

/// Chooses the tokens of one sequence.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    vocabulary: usize,
    /// How often each token was generated; 0 for tokens that occur only in the prompt.
    seen: HashMap<u32, u32>,
    random: Random,
    list: Vec<Candidate>,
    weights: Vec<f64>,
}

impl Sampler {
    /// Creates a sampler for a sequence that starts with `prompt`. Ids from `vocabulary` up are never chosen: they only
    /// pad the model's rows.
    ///
    /// # Errors
    /// Those of [`Sampling::validate`].
    ///
    /// # Panics
    /// If the vocabulary is empty.
    pub fn new(sampling: Sampling, prompt: &[u32], vocabulary: usize) -> Result<Sampler> {
        assert!(vocabulary > 0, "Sampler::new: the vocabulary is empty");
        sampling.validate()?;
        let random = sampling.seed.map_or_else(Random::unpredictable, Random::new);
        let seen = prompt.iter().map(|&id| (id, 0)).collect();
        Ok(Sampler { sampling, vocabulary, seen, random, list: Vec::new(), weights: Vec::new() })
    }

    /// The data that the engine must read back for this sequence.
    pub fn needs(&self) -> Need {
        let cut = self.cut();
        if self.sampling.is_greedy() && !self.sampling.has_penalties() {
            Need::Argmax
        } else if self.sampling.penalties_only_lower() && (1..=CANDIDATES).contains(&cut) {
            Need::Candidates
        } else {
            Need::Row
        }
    }

    /// Counts `token` as generated. The engine calls this for every token that it appends to the sequence.
    pub fn accept(&mut self, token: u32) {
        *self.seen.entry(token).or_insert(0) += 1;
    }

    /// Chooses a token from a whole row.
    ///
    /// # Errors
    /// [`Error::Device`] if the row contains NaN or +∞, or no finite logit.
    pub fn choose_row(&mut self, logits: &[f32]) -> Result<u32> {
        check(logits.iter().copied())?;
        let width = logits.len().min(self.vocabulary);
        self.list.clear();
        self.list.extend((0..).zip(&logits[..width]).map(|(id, &logit)| Candidate { id, logit }));
        for (&id, &count) in &self.seen {
            if let Some(candidate) = self.list.get_mut(id as usize) {
                candidate.logit = self.sampling.penalised(candidate.logit, count);
            }
        }
        self.list.retain(|candidate| candidate.logit > f32::NEG_INFINITY);
        let cut = self.cut();
        keep_best(&mut self.list, cut);
        self.draw()
    }

    /// Chooses a token from the largest logits of a row, sorted by descending logit, then ascending id. Returns `None`
    /// if they do not determine the choice. Token and random state equal those of [`Sampler::choose_row`].
    ///
    /// Proof: let (c, i) be logit and id of the last candidate. Every other token of the row sorts after it: its logit
    /// is below c, or equals c with an id above i. Penalties that only lower a logit keep that token after (c, i),
    /// because rounding keeps order. So a candidate still at or before (c, i) after penalties sorts before all other
    /// tokens. With at least `cut` of these, the best `cut` candidates are the best `cut` tokens.
    ///
    /// # Errors
    /// [`Error::Device`] if a candidate is NaN or +∞.
    pub fn choose_candidates(&mut self, candidates: &[(u32, f32)]) -> Result<Option<u32>> {
        check(candidates.iter().map(|&(_, logit)| logit))?;
        let last = candidates.last().map(|&(id, logit)| Candidate { id, logit });
        let real = candidates.iter().filter(|(id, _)| (*id as usize) < self.vocabulary);
        self.list.clear();
        self.list.extend(real.map(|&(id, logit)| {
            let count = self.seen.get(&id);
            Candidate { id, logit: count.map_or(logit, |&count| self.sampling.penalised(logit, count)) }
        }));
        let Some(last) = last.filter(|_| self.sampling.penalties_only_lower()) else { return Ok(None) };
        // No other token exists, or no other token can be drawn.
        let complete = self.list.len() >= self.vocabulary || last.logit == f32::NEG_INFINITY;
        self.list.retain(|candidate| candidate.logit > f32::NEG_INFINITY);
        let proven = self.list.iter().filter(|candidate| candidate.order(&last).is_le()).count();
        let cut = self.cut();
        if !complete && (cut == 0 || proven < cut) {
            return Ok(None);
        }
        keep_best(&mut self.list, cut);
        self.draw().map(Some)
    }

    /// Number of tokens that top-k keeps; 0 for all.
    fn cut(&self) -> usize {
        if self.sampling.is_greedy() { 1 } else { self.sampling.top_k }
    }

    /// Applies temperature, top-p and min-p to the list after penalties and top-k, then draws.
    ///
    /// Uses exactly one random number for any list, and none if the choice is greedy.
    fn draw(&mut self) -> Result<u32> {
        let largest = self.list.iter().copied().min_by(Candidate::order);
        let Some(largest) = largest else { return Err(bad_row("no token has a logit above -infinity")) };
        if self.sampling.is_greedy() {
            return Ok(largest.id);
        }
        let temperature = f64::from(self.sampling.temperature);
        // Subtraction before division keeps the largest weight at 1 for any temperature above 0.
        let weight =
            |candidate: &Candidate| ((f64::from(candidate.logit) - f64::from(largest.logit)) / temperature).exp();
        keep_mass(&mut self.list, f64::from(self.sampling.top_p), weight);
        let min_weight = f64::from(self.sampling.min_p);
        self.list.retain(|candidate| weight(candidate) >= min_weight);
        self.weights.clear();
        self.weights.extend(self.list.iter().map(weight));
        let mut left = self.random.unit() * self.weights.iter().sum::<f64>();
        for (candidate, weight) in self.list.iter().zip(&self.weights) {
            if left < *weight {
                return Ok(candidate.id);
            }
            left -= weight;
        }
        // Rounding can leave a small remainder after the last token.
        Ok(largest.id)
    }
}

/// Keeps the best `cut` candidates, sorted. 0 keeps all in their present order.
fn keep_best(list: &mut Vec<Candidate>, cut: usize) {
    if cut == 0 {
        return;
    }
    if cut < list.len() {
        list.select_nth_unstable_by(cut - 1, Candidate::order);
        list.truncate(cut);
    }
    list.sort_unstable_by(Candidate::order);
}

/// Keeps the fewest best tokens with at least `share` of the total weight.
///
/// Sorts the vocabulary only as far as needed: almost always a few tokens.
fn keep_mass(list: &mut Vec<Candidate>, share: f64, weight: impl Fn(&Candidate) -> f64) {
    if share >= 1.0 {
        return;
    }
    let wanted = share * list.iter().map(&weight).sum::<f64>();
    let mut sorted = list.len().min(CANDIDATES);
    loop {
        if sorted < list.len() {
            list.select_nth_unstable_by(sorted - 1, Candidate::order);
        }
        list[..sorted].sort_unstable_by(Candidate::order);
        let mut mass = 0.0;
        let kept = list[..sorted].iter().take_while(|candidate| {
            let begins = mass;
            mass += weight(candidate);
            begins < wanted
        });
        let kept = kept.count().max(1);
        if kept < sorted || sorted == list.len() {
            return list.truncate(kept);
        }
        sorted = list.len().min(sorted * 8);
    }
}

/// Rejects NaN and +∞: no correct forward pass gives them, and sampling would hide the fault in plausible text.
fn check(logits: impl Iterator<Item = f32>) -> Result<()> {
    let (mut nan, mut infinite) = (false, false);
    for logit in logits {
        nan |= logit.is_nan();
        infinite |= logit == f32::INFINITY;
    }
    match (nan, infinite) {
        (true, _) => Err(bad_row("the logits hold NaN: the forward pass went wrong")),
        (_, true) => Err(bad_row("the logits hold +infinity: the forward pass overflowed")),
        _ => Ok(()),
    }
}

fn bad_row(what: &str) -> Error {
    Error::Device { label: "sampling".to_owned(), what: what.to_owned() }
}
