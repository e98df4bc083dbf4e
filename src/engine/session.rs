//! Sessions: the next turn of a conversation reuses the computed tokens of earlier turns.
//!
//! Keys and values can be cut back to any token, a recurrent state cannot: it needs a snapshot taken at exactly that
//! token. A snapshot is a slot like any other.

use std::sync::Arc;

use super::{Engine, Request, runner::Runner};
use crate::{
    compute::{
        backend::Backend,
        dtype::DType,
        pass::{Pass, Program},
        tensor::Tensor,
    },
    error::{Error, Result},
    kernels::{
        copy_slot::copy_slot,
        operands::{caches::State, step::SequenceId},
    },
};

/// Copies the state of one slot to another slot, in all layers.
pub(super) struct Copier {
    pair: Tensor,
    program: Option<Program>,
}

impl Copier {
    pub(super) fn new(backend: &Arc<dyn Backend>) -> Result<Self> {
        Ok(Self { pair: Tensor::new(backend, [1, 2], DType::U32, "slots to copy")?, program: None })
    }

    fn copy(&mut self, runner: &mut Runner, pair: [u32; 2]) -> Result<()> {
        let backend = runner.model().backend.clone();
        if self.program.is_none() {
            let p = Pass::new(backend.caps());
            for state in &mut runner.cache_mut().layers {
                if let State::Slots(slots) = state {
                    copy_slot(&p, &self.pair, &mut slots.conv_state);
                    copy_slot(&p, &self.pair, &mut slots.state);
                }
            }
            self.program = Some(backend.load(p)?);
        }
        self.pair.write(0, &pair)?;
        self.program.iter().try_for_each(|program| backend.run(program))
    }
}

/// A sequence after a rewind: the number of its known tokens, and of its computed tokens.
struct Left {
    known: usize,
    computed: usize,
}

impl Engine {
    /// Continues a kept sequence. `request.prompt` is the whole prompt, from the first token. The computed common
    /// prefix is reused, as far as the state or a snapshot allows. Returns the number of reused tokens.
    ///
    /// # Errors
    /// Those of [`Engine::add`], and [`Error::Request`] for a sequence that is removed or still runs. An error leaves
    /// the sequence unchanged.
    pub fn resume(&mut self, id: SequenceId, request: Request) -> Result<usize> {
        let max_len = self.max_len(&request)?;
        let Left { known, computed: reused } = self.go_back(id, &request.prompt)?;
        self.scheduler.extend(id, request.prompt.len() - known, max_len)?;
        let sequence = self.sequence(request, max_len)?;
        self.sequences.insert(id, sequence);
        Ok(reused)
    }

    /// Rewinds a kept sequence to the longest computed prefix that it shares with `tokens`.
    fn go_back(&mut self, id: SequenceId, tokens: &[u32]) -> Result<Left> {
        let Some(known) = self.tokens(id) else { return Err(Error::Request(format!("{id} is over"))) };
        let common = known.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        // The last token is always recomputed, for its logits.
        let common = common.min(tokens.len() - 1);
        let before_last = known.len() - 1;
        let computed = self.scheduler.computed(id);
        if computed <= common {
            // Tokens that lost their memory to other sequences keep their origin: sampled tokens stay sampled.
            let known = if before_last <= common { before_last.max(computed) } else { computed };
            self.scheduler.rewind(id, known)?;
            return Ok(Left { known, computed });
        }
        let snapshots = self.scheduler.snapshots(id).iter();
        let Some(snapshot) = snapshots.filter(|s| s.computed <= common).max_by_key(|s| s.computed).copied() else {
            self.scheduler.rewind(id, 0)?;
            return Ok(Left { known: 0, computed: 0 });
        };
        self.scheduler.rewind(id, snapshot.computed)?;
        if let Some(slot) = self.scheduler.slot(id) {
            self.copier.copy(&mut self.runner, [snapshot.slot, slot])?;
        }
        Ok(Left { known: snapshot.computed, computed: snapshot.computed })
    }

    /// Keeps a snapshot of a sequence's current state, in place of earlier ones. Returns `false` if the sequence has no
    /// state or no slot is free.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub fn snapshot(&mut self, id: SequenceId) -> Result<bool> {
        if self.scheduler.state(id).is_none() {
            return Ok(false);
        }
        for old in self.scheduler.snapshots(id).to_vec() {
            self.scheduler.return_slot(id, old.slot);
        }
        let Some(from) = self.scheduler.slot(id) else { return Ok(false) };
        let Some(to) = self.scheduler.lend_slot(id) else { return Ok(false) };
        self.copier.copy(&mut self.runner, [from, to])?;
        Ok(true)
    }
}
