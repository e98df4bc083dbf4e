//! Decode one step ahead of the host: while the host reads the tokens of one step, the device computes the next from
//! the tokens that it chose itself.
//!
//! A step runs ahead only if it will be needed: each of its sequences continues, unless the token just chosen ends the
//! sequence. Results beyond an end are in memory that is freed. The output of a sequence does not change.

use super::{AtEnd, Engine, readback::PendingTokens};
use crate::{
    compute::caps::DeviceKind,
    engine::sampler::Need,
    error::Result,
    kernels::operands::step::{Phase, SequenceId, Work},
    model::cache::PAGE,
};

/// A submitted step whose tokens the host has not read yet.
pub(super) struct Ahead {
    /// The work of each row.
    work: Vec<Work>,
    output_set: usize,
    pending: PendingTokens,
}

impl Engine {
    /// Computes sampled tokens, or takes their results from the step computed ahead. Then chooses the next tokens.
    pub(super) async fn decode(&mut self, work: &[&Work]) -> Result<Vec<(SequenceId, u32)>> {
        let Some(Ahead { work: begun, output_set, pending }) = self.ahead.take() else {
            let pending = self.start(Phase::Decode, work, 0)?;
            let next = self.look_ahead(work)?;
            let chosen = self.choose(work, 0, pending).await?;
            self.ahead = next;
            return Ok(chosen);
        };
        let same = |begun: &Work, work: &Work| (begun.sequence, &begun.range) == (work.sequence, &work.range);
        let row = |work: &&Work| begun.iter().position(|begun| same(begun, work));
        let (mut ready, rest): (Vec<_>, Vec<_>) = work.iter().partition(|work| row(work).is_some());
        ready.sort_by_key(row);
        let pending = pending.of_rows(ready.iter().filter_map(row));
        // The next step may run ahead only if this batch has all rows of the ready step, and no others.
        let whole = rest.is_empty() && ready.len() == begun.len();
        let next = if whole { self.look_ahead(&ready)? } else { None };
        let mut chosen = self.choose(&ready, output_set, pending).await?;
        chosen.extend(self.run(Phase::Decode, &rest, 1 - output_set).await?);
        self.ahead = next;
        Ok(chosen)
    }

    /// Starts the step after the last run, if it will be needed: same sequences, same rows, each one token further.
    fn look_ahead(&mut self, work: &[&Work]) -> Result<Option<Ahead>> {
        let waits = self.runner.model().backend.caps().kind == DeviceKind::Cpu;
        if waits || work.is_empty() || !work.iter().all(|work| self.goes_on(work)) {
            return Ok(None);
        }
        self.upload_tables(work)?;
        let next = work.iter().map(|work| Work { range: work.range.end..work.range.end + 1, ..(*work).clone() });
        let next = next.collect();
        self.steps_ahead += 1;
        let pending = self.decode.follow(&mut self.runner, work.len() as u32)?;
        Ok(Some(Ahead { work: next, output_set: self.decode.output_set(), pending }))
    }

    /// Whether a sequence can run ahead: it continues unless its next token ends it, it has memory for that token, its
    /// memory is freed at the end, and the device chooses its tokens (greedy).
    fn goes_on(&self, work: &Work) -> bool {
        let (sequence, end) = (&self.sequences[&work.sequence], work.range.end);
        let known = sequence.tokens.len() == end && end + 1 < sequence.max_len;
        let room = self.scheduler.pages(work.sequence).len() * PAGE as usize > end;
        let frees = sequence.at_end == AtEnd::Free;
        !work.outputs.is_empty() && known && room && frees && sequence.sampler.needs() == Need::Argmax
    }
}
