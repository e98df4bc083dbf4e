//! Decoding one step ahead of the host: while the host looks at the tokens of one step, the device computes the next from
//! the tokens that it chose itself.
//!
//! A step is computed ahead only where it has to come anyway: every sequence in it goes on unless the token just chosen
//! ends it, and what was computed beyond an end is in memory that is given back. Nothing of this shows in what a sequence
//! yields.

use super::{Engine, Piece, Then, outputs::Asked};
use crate::{
    compute::caps::DeviceKind,
    engine::{sampler::Need, scheduler::SequenceId},
    error::Result,
    kernels::operands::step::Kind,
    model::cache::BLOCK,
};

/// A step whose tokens nobody has looked at.
pub(super) struct Ahead {
    /// Each row's sequence, and the position of the token that it computes.
    rows: Vec<(SequenceId, usize)>,
    turn: usize,
    asked: Asked,
}

impl Engine {
    /// Computes sampled tokens, or takes them from the step that was computed ahead, and chooses the next ones.
    pub(super) fn decode(&mut self, pieces: &[Piece]) -> Result<Vec<(SequenceId, u32)>> {
        let Some(ahead) = self.ahead.take() else {
            let asked = self.start(Kind::Decode, pieces, 0)?;
            let next = self.look_ahead(pieces)?;
            let chosen = self.choose(Kind::Decode, pieces, 0, asked)?;
            self.ahead = next;
            return Ok(chosen);
        };
        let Ahead { rows, turn, asked } = ahead;
        let row = |(id, range, _): &Piece| rows.iter().position(|row| *row == (*id, range.start));
        let (mut ready, rest): (Vec<_>, Vec<_>) = pieces.iter().cloned().partition(|piece| row(piece).is_some());
        ready.sort_by_key(row);
        let asked = asked.of(ready.iter().filter_map(row));
        // The next one follows only where all of this one goes on and nothing comes between.
        let whole = rest.is_empty() && ready.len() == rows.len();
        let next = if whole { self.look_ahead(&ready)? } else { None };
        let mut chosen = self.choose(Kind::Decode, &ready, turn, asked)?;
        chosen.extend(self.run(Kind::Decode, &rest, 1 - turn)?);
        self.ahead = next;
        Ok(chosen)
    }

    /// Starts the step after the last run, if it has to come: the same sequences in the same rows, each one token further.
    fn look_ahead(&mut self, pieces: &[Piece]) -> Result<Option<Ahead>> {
        let waits = self.model.backend.caps().kind == DeviceKind::Cpu;
        if waits || pieces.is_empty() || !pieces.iter().all(|piece| self.goes_on(piece)) {
            return Ok(None);
        }
        self.upload(pieces)?;
        let rows = pieces.iter().map(|(id, range, _)| (*id, range.end)).collect();
        self.steps_ahead += 1;
        let asked = self.decode.follow(&self.model, &mut self.cache, pieces.len() as u32)?;
        Ok(Some(Ahead { rows, turn: self.decode.turn(), asked }))
    }

    /// Whether a sequence goes on after a token unless that token ends it, with what the device has of it.
    fn goes_on(&self, (id, range, sample): &Piece) -> bool {
        let sequence = &self.sequences[id];
        let known = sequence.tokens.len() == range.end && range.end + 1 < sequence.most;
        let room = self.scheduler.blocks(*id).len() * BLOCK as usize > range.end;
        *sample && known && room && sequence.then == Then::Forget && sequence.sampler.needs() == Need::Argmax
    }
}
