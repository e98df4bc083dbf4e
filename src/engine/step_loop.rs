//! One step of an engine: schedule, compute, choose, commit.

use super::{
    AtEnd, Engine, Event,
    phase_runner::LogitsRow,
    readback::{PendingTokens, Select},
};
use crate::{
    engine::scheduler::{Batch, Outcome, Scheduler},
    error::Result,
    kernels::operands::step::{Input, Phase, SequenceId, Work},
};

impl Engine {
    /// Computes one step and returns its tokens; there are none during prefill. Blocks until the device answers; in a
    /// browser, only the cpu backend allows this.
    ///
    /// # Errors
    /// [`crate::Error::Device`], and [`crate::Error::OutOfMemory`] when a program is prepared. The step's sequences are
    /// removed.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        pollster::block_on(self.step_async())
    }

    /// [`Engine::step`] for callers that must not block: the future is pending until the device answers. If the future
    /// is dropped before its end, the step's sequences are removed.
    ///
    /// # Errors
    /// Those of [`Engine::step`].
    pub async fn step_async(&mut self) -> Result<Vec<Event>> {
        let batch = self.scheduler.schedule();
        self.preemptions += batch.preempted.len() as u64;
        let mut open = OpenStep { engine: self, batch: Some(batch) };
        let OpenStep { engine, batch: Some(batch) } = &mut open else { return Ok(Vec::new()) };
        let chosen = engine.compute(batch).await?;
        Ok(open.commit(&chosen))
    }

    /// Runs a batch and chooses a token for each output.
    async fn compute(&mut self, batch: &Batch) -> Result<Vec<(SequenceId, u32)>> {
        let [prefill, decode] = [Phase::Prefill, Phase::Decode].map(|phase| batch.of(phase).collect::<Vec<_>>());
        let mut chosen = self.run(Phase::Prefill, &prefill, 0).await?;
        chosen.extend(self.decode(&decode).await?);
        Ok(chosen)
    }

    /// Computes work of one phase, writes its logits to an output set, and chooses tokens.
    pub(super) async fn run(
        &mut self,
        phase: Phase,
        work: &[&Work],
        output_set: usize,
    ) -> Result<Vec<(SequenceId, u32)>> {
        let pending = self.start(phase, work, output_set)?;
        self.choose(work, output_set, pending).await
    }

    /// Submits work of one phase.
    pub(super) fn start(&mut self, phase: Phase, work: &[&Work], output_set: usize) -> Result<PendingTokens> {
        if work.is_empty() {
            return Ok(PendingTokens::default());
        }
        self.upload_tables(work)?;
        let inputs = work.iter().map(|work| Input {
            work,
            tokens: &self.sequences[&work.sequence].tokens[work.range.clone()],
            slot: slot(&self.scheduler, work.sequence),
        });
        let inputs: Vec<_> = inputs.collect();
        let sampled = work.iter().filter(|work| !work.outputs.is_empty());
        let needs = sampled.map(|work| self.sequences[&work.sequence].sampler.needs());
        let select = needs.fold(Select::Greedy, Select::or);
        let phase_runner = if phase == Phase::Prefill { &mut self.prefill } else { &mut self.decode };
        phase_runner.run(&mut self.runner, &inputs, select, output_set)
    }

    /// Waits for the readback of a run, then chooses a token for each output.
    pub(super) async fn choose(
        &mut self,
        work: &[&Work],
        output_set: usize,
        pending: PendingTokens,
    ) -> Result<Vec<(SequenceId, u32)>> {
        let Some(phase) = work.first().map(|work| work.phase) else { return Ok(Vec::new()) };
        let phase_runner = if phase == Phase::Prefill { &self.prefill } else { &self.decode };
        let read = pending.arrived(phase_runner.outputs(output_set)).await?;
        let mut chosen = Vec::new();
        for (work, rows) in work.iter().zip(&read.rows) {
            for row in rows.clone() {
                let sequence = self.sequences.get_mut(&work.sequence).expect("a sequence of this batch");
                chosen.push((work.sequence, read.choose(row, &mut sequence.sampler).await?));
                sequence.logits = Some(LogitsRow { phase, output_set, row });
            }
        }
        Ok(chosen)
    }

    /// Updates the page tables on the device.
    pub(super) fn upload_tables(&mut self, work: &[&Work]) -> Result<()> {
        for Work { sequence: id, .. } in work {
            let (slot, pages) = (slot(&self.scheduler, *id), self.scheduler.pages(*id));
            let known = &mut self.tables[slot as usize];
            if known.as_slice() != pages {
                self.runner.assign(slot, pages)?;
                pages.clone_into(known);
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, chosen: &[(SequenceId, u32)]) -> Vec<Event> {
        let (mut events, mut outcomes) = (Vec::new(), Vec::new());
        for &(id, token) in chosen {
            let sequence = self.sequences.get_mut(&id).expect("a sequence of this batch");
            sequence.sampler.accept(token);
            sequence.tokens.push(token);
            let finish = sequence.finish(token);
            let outcome = match (finish, sequence.at_end) {
                (None, _) => Outcome::Token,
                (Some(_), AtEnd::Keep) => Outcome::Kept { token: true },
                (Some(_), AtEnd::Free) => Outcome::Finished,
            };
            outcomes.push((id, outcome));
            if outcome == Outcome::Finished {
                self.sequences.remove(&id);
            }
            events.push(Event { sequence: id, token, finish });
        }
        self.scheduler.commit(batch, &outcomes);
        events
    }

    /// Removes the sequences of a failed or dropped step: their state is unknown.
    fn give_up(&mut self, batch: &Batch) {
        for work in &batch.work {
            self.cancel(work.sequence);
        }
        self.scheduler.commit(batch, &[]);
    }
}

/// A step before its commit. Dropped without a commit, it removes its sequences.
struct OpenStep<'a> {
    engine: &'a mut Engine,
    batch: Option<Batch>,
}

impl OpenStep<'_> {
    fn commit(mut self, chosen: &[(SequenceId, u32)]) -> Vec<Event> {
        self.batch.take().map(|batch| self.engine.commit(&batch, chosen)).unwrap_or_default()
    }
}

impl Drop for OpenStep<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.engine.give_up(&batch);
        }
    }
}

fn slot(scheduler: &Scheduler, running: SequenceId) -> u32 {
    scheduler.slot(running).expect("a running sequence has a slot")
}
