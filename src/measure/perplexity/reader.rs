//! Runs one model over windows of ids, with logits for every id.

use std::{future::ready, ops::Range, sync::Arc};

use super::Side;
use crate::{
    compute::{dtype::DType, memory::Pending},
    engine::{ALIGN, LogitRows, Prepared, Runner},
    error::{Error, Result},
    kernels::operands::step::{Input, Layout, Phase, SequenceId, Work},
    model::{
        Model,
        cache::{PAGE, Plan, Room, Wanted},
    },
};

/// Maximum bytes of logits per step.
const LOGITS: u64 = 128 << 20;

/// Minimum rows per step, whatever the size of their logits.
const MIN_ROWS: u64 = 16;

/// A model with the memory of one sequence and a program that computes any part of a window.
pub(super) struct Reader {
    model: Arc<Model>,
    /// Keeps the cache buffers alive.
    prepared: Prepared,
}

/// Consecutive ids of one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// The ids to compute.
    pub(super) ids: &'a [u32],
    /// Position of the first id in its window.
    pub(super) position: u32,
    /// The ids after the last ones of `ids`. The logits of each preceding id score them.
    pub(super) targets: &'a [u32],
}

impl Reader {
    /// A reader of windows of up to `longest` ids, `rows` ids per step.
    ///
    /// # Errors
    /// [`Error::Request`] for windows whose keys exceed the device's largest binding, with the longest window that
    /// fits; [`Error::OutOfMemory`]; compile errors.
    pub(super) fn new(side: &Side, longest: u32, rows: u32) -> Result<Self> {
        let (model, backend) = (side.model.clone(), &side.model.backend);
        let room = Room { bytes: u64::MAX, binding: backend.caps().max_binding };
        let context = longest.next_multiple_of(PAGE);
        let plan = Plan::fit(&model.config, Wanted { context, sequences: 1, slots: 1, kv: side.kv }, room);
        let plan = plan.map_err(|error| match error {
            // Here the window is the context.
            Error::Request(what) => Error::Request(what.replace("--context", "--window")),
            other => other,
        })?;
        let mut runner = Runner::new(model.clone(), plan)?;
        runner.assign_all()?;
        let step = runner.step(Phase::Prefill, Layout { rows, sequences: 1, outputs: 1 })?;
        let recording = runner.record(step, LogitRows::Every)?;
        Ok(Self { model, prepared: runner.load(recording)? })
    }

    /// Submits a part and requests the logits that score its targets: \[targets, V\] f32.
    pub(super) fn compute(&self, part: &Part<'_>) -> Result<Pending> {
        let range = part.position as usize..part.position as usize + part.ids.len();
        let work = Work::new(SequenceId::new(0), Phase::Prefill, range);
        let Prepared { step, program, logits } = &self.prepared;
        step.write(&[Input { work: &work, tokens: part.ids, slot: 0 }])?;
        self.model.backend.run(program)?;
        if part.targets.is_empty() {
            return Ok(Box::pin(ready(Ok(Vec::new()))));
        }
        let row = u64::from(logits.width()) * DType::F32.bytes();
        let rows = part.ids.len() - part.targets.len()..part.ids.len();
        Ok(logits.buffer().read(rows.start as u64 * row..rows.end as u64 * row))
    }
}

/// Rows per step that all sides can compute, for windows of up to `longest` ids: a multiple of the prefill granularity,
/// if large enough.
pub(super) fn rows(sides: &[&Side], longest: u32) -> u32 {
    let of = |model: &Model| {
        let caps = model.backend.caps();
        let bytes = LOGITS.min(caps.max_binding).min(caps.max_buffer);
        let rows = bytes / (DType::F32.bytes() * u64::from(model.config.vocabulary));
        rows.min(u64::from(caps.tiles.budget)).max(MIN_ROWS) as u32
    };
    let max_rows = sides.iter().map(|side| of(&side.model)).min().unwrap_or(0).min(longest.next_multiple_of(ALIGN));
    if max_rows < ALIGN { max_rows } else { max_rows - max_rows % ALIGN }
}

/// The parts of these windows, in order.
pub(super) fn parts<'a>(
    ids: &'a [u32],
    windows: &'a [super::Window],
    rows: u32,
) -> impl Iterator<Item = Part<'a>> + 'a {
    windows.iter().flat_map(move |window| {
        let (begin, last) = (window.ids.start, window.ids.end - 1);
        let first_scored = window.ids.end - window.scored;
        (begin..last).step_by(rows as usize).map(move |start| {
            let end = (start + rows as usize).min(last);
            let targets: Range<usize> = (start + 1).max(first_scored).min(end + 1)..end + 1;
            Part { ids: &ids[start..end], position: (start - begin) as u32, targets: &ids[targets] }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Window, *};

    #[test]
    fn parts_score_every_wanted_id_by_the_one_before_it() {
        let ids: Vec<u32> = (100..120).collect();
        let windows = [Window { ids: 0..8, scored: 7 }, Window { ids: 5..13, scored: 4 }];
        let found: Vec<_> = parts(&ids, &windows, 4).map(|part| (part.ids, part.position, part.targets)).collect();
        let wanted: [(&[u32], u32, &[u32]); 4] = [
            (&[100, 101, 102, 103], 0, &[101, 102, 103, 104]),
            (&[104, 105, 106], 4, &[105, 106, 107]),
            (&[105, 106, 107, 108], 0, &[109]),
            (&[109, 110, 111], 4, &[110, 111, 112]),
        ];
        assert_eq!(found, wanted);
        let none = parts(&ids, &[Window { ids: 0..9, scored: 2 }], 4).next().expect("a window has parts");
        assert_eq!((none.ids.len(), none.targets), (4, &[][..]));
    }
}
