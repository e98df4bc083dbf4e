//! What changes from step to step, as one small buffer of words on the device.
//!
//! A program is recorded once and replayed; whatever differs between two runs of it is written here first. The same
//! layout is spelled in `wgsl/lib/step.wgsl`.

mod work;

use std::{ops::Range, sync::Arc};

use crate::{
    compute::{
        backend::Backend,
        cost::{Load, RowCount},
        dtype::DType,
        kernel::{Element, Group},
        pass::Builder,
        tensor::Tensor,
    },
    error::Result,
};
pub use work::{Input, Phase, SequenceId, Work};

/// Rows that one group of a tiled kernel takes of one sequence.
pub const TILE: u32 = 32;

/// Words of the header: the counts of tiles and of sequences follow those of rows and of outputs.
const STEP_TILE_COUNT: usize = 2;
const STEP_SEQUENCE_COUNT: usize = 3;
const HEADER: u32 = 4;

/// Capacities of a step, which fix where everything is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Rows (tokens) at the most.
    pub rows: u32,
    /// Sequences at the most.
    pub sequences: u32,
    /// Rows that leave logits, at the most.
    pub outputs: u32,
}

impl Layout {
    /// Tiles at the most: every sequence may end in a part of one.
    pub fn tiles(self) -> u32 {
        self.rows / TILE + self.sequences
    }

    fn ids(self) -> u32 {
        HEADER
    }
    fn sequence_of(self) -> u32 {
        self.ids() + self.rows
    }
    fn position_of(self) -> u32 {
        self.sequence_of() + self.rows
    }
    fn spans(self) -> u32 {
        self.position_of() + self.rows
    }
    fn tile_list(self) -> u32 {
        self.spans() + 4 * self.sequences
    }
    fn output_list(self) -> u32 {
        self.tile_list() + 2 * self.tiles()
    }
    fn words(self) -> u32 {
        self.output_list() + self.outputs
    }
}

/// The rows of one sequence in a step: consecutive, as their positions are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First row of the step.
    pub row: u32,
    /// Number of rows.
    pub rows: u32,
    /// Position of the first row's token in its sequence.
    pub position: u32,
    /// The sequence's slot.
    pub slot: u32,
}

/// How products take the rows of a tensor. A row's bits depend on this, and not on how many rows there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows {
    /// In tiles that share what is read of the weights.
    Many,
    /// Each row by itself, as in a decode step.
    Few,
}

/// The device's side of a step.
#[derive(Clone)]
pub struct Step {
    words: Arc<Tensor>,
    tables: Arc<Tensor>,
    layout: Layout,
    phase: Phase,
    rows: Rows,
    count: RowCount,
    capacity: u32,
}

impl Step {
    /// A step with these capacities. `tables` holds a row of block numbers for each slot.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(backend: &Arc<dyn Backend>, layout: Layout, phase: Phase, tables: Arc<Tensor>) -> Result<Self> {
        let words = Arc::new(Tensor::new(backend, [1, layout.words()], DType::U32, "step")?);
        let rows = match phase {
            Phase::Prefill => Rows::Many,
            Phase::Decode => Rows::Few,
        };
        Ok(Self { words, tables, layout, phase, rows, count: RowCount::Rows, capacity: layout.rows })
    }

    /// The same step, for a recording that takes no more than `rows` rows.
    ///
    /// # Panics
    /// If the step has fewer.
    pub fn bucket(&self, rows: u32) -> Self {
        assert!(rows <= self.layout.rows, "step: bucket of {rows} rows");
        Self { capacity: rows, ..self.clone() }
    }

    /// The same step, for tensors that have one row for each output: few rows.
    pub fn outputs(&self) -> Self {
        let capacity = self.layout.outputs.min(self.capacity);
        Self { rows: Rows::Few, count: RowCount::Outputs, capacity, ..self.clone() }
    }

    /// The same step, with products that take rows in this way.
    pub fn with_rows(&self, rows: Rows) -> Self {
        Self { rows, ..self.clone() }
    }

    /// Capacities.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Which kernels compute its tokens.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How products take its rows.
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// Rows, at the most, of a tensor that this step counts.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Sequences that take part, at the most.
    pub fn sequences(&self) -> u32 {
        self.layout.sequences.min(self.capacity)
    }

    /// Tiles at the most: of one row each where every sequence has one row.
    pub fn tiles(&self) -> u32 {
        match self.phase {
            Phase::Prefill => self.layout.tiles(),
            Phase::Decode => self.sequences(),
        }
    }

    /// The words, as `wgsl/lib/step.wgsl` spells them.
    pub fn words(&self) -> &Tensor {
        &self.words
    }

    /// Block numbers: one row for each slot.
    pub fn tables(&self) -> &Tensor {
        &self.tables
    }

    /// Writes what the next run computes.
    ///
    /// # Errors
    /// Those of [`Backend::write`].
    ///
    /// # Panics
    /// If the inputs exceed the capacities, or one has not a token for each position of its work.
    pub fn write(&self, inputs: &[Input<'_>]) -> Result<()> {
        self.words.write(0, &words(self.layout, inputs))
    }
}

/// The words of a step.
fn words(layout: Layout, inputs: &[Input<'_>]) -> Vec<u32> {
    let mut words = vec![0; layout.words() as usize];
    let (mut row, mut tiles, mut outputs) = (0, 0, 0);
    assert!(inputs.len() <= layout.sequences as usize, "step: {} sequences", inputs.len());
    for (sequence, &Input { work, tokens, slot }) in (0u32..).zip(inputs) {
        let (rows, position) = (tokens.len() as u32, work.range.start as u32);
        assert_eq!(tokens.len(), work.range.len(), "step: tokens of {}", work.sequence);
        assert!(row + rows <= layout.rows, "step: {} rows", row + rows);
        for (i, &id) in (0u32..).zip(tokens) {
            let values = [(layout.ids(), id), (layout.sequence_of(), sequence), (layout.position_of(), position + i)];
            values.into_iter().for_each(|(base, value)| words[(base + row + i) as usize] = value);
        }
        let span = [row, rows, position, slot];
        words[(layout.spans() + 4 * sequence) as usize..][..4].copy_from_slice(&span);
        for offset in (0..rows).step_by(TILE as usize) {
            words[(layout.tile_list() + 2 * tiles) as usize..][..2].copy_from_slice(&[sequence, offset]);
            tiles += 1;
        }
        for output in work.outputs.clone() {
            assert!(outputs < layout.outputs, "step: {} outputs", outputs + 1);
            words[(layout.output_list() + outputs) as usize] = row + output as u32;
            outputs += 1;
        }
        row += rows;
    }
    words[..4].copy_from_slice(&[row, outputs, tiles, inputs.len() as u32]);
    words
}

/// The binding of a step, which comes first in every kernel that has one.
pub const BINDING: crate::compute::kernel::Binding = crate::compute::kernel::Binding::read("step", Element::U32);

impl<'a> Builder<'a> {
    /// Binds a step, with the defines that `wgsl/lib/step.wgsl` needs.
    pub fn step(self, step: &'a Step) -> Self {
        self.sizes(step).read(&step.words)
    }

    /// Binds a step to be changed on the device.
    pub(crate) fn update_step(self, step: &'a Step) -> Self {
        self.sizes(step).write_shared(&step.words)
    }

    fn sizes(self, step: &Step) -> Self {
        self.define("MAX_ROWS", step.layout.rows)
            .define("MAX_SEQUENCES", step.layout.sequences)
            .define("ROW_COUNT", step.count as u32)
    }
}

impl From<&[Work]> for Load {
    /// What a step of this work has to do.
    fn from(work: &[Work]) -> Self {
        let sequences = work.iter().map(|work| (work.range.len() as u64, work.range.start as u64));
        Self::new(sequences.collect(), work.iter().map(|work| work.outputs.len() as u64).sum())
    }
}

/// A step as a plain-loop kernel reads it.
pub struct View<'a> {
    words: &'a [u32],
    layout: Layout,
    live: usize,
}

impl<'a> View<'a> {
    /// The step bound at binding 0.
    pub fn of(group: &Group<'a>) -> Self {
        let outputs = group.words("step", 0..HEADER as usize)[RowCount::Outputs as usize];
        let [rows, sequences] = ["MAX_ROWS", "MAX_SEQUENCES"].map(|name| group.define(name) as u32);
        // A kernel does not know how many outputs there may be, only how many there are.
        let layout = Layout { rows, sequences, outputs };
        Self { words: group.words("step", 0..layout.words() as usize), layout, live: group.define("ROW_COUNT") }
    }

    fn word(&self, base: u32, at: usize) -> usize {
        self.words[base as usize + at] as usize
    }

    /// How many rows are alive.
    pub fn live(&self) -> usize {
        self.words[self.live] as usize
    }

    /// How many sequences take part.
    pub fn sequences(&self) -> usize {
        self.words[STEP_SEQUENCE_COUNT] as usize
    }

    /// The token id of a row.
    pub fn id(&self, row: usize) -> usize {
        self.word(self.layout.ids(), row)
    }

    /// The position of a row's token in its sequence.
    pub fn position(&self, row: usize) -> usize {
        self.word(self.layout.position_of(), row)
    }

    /// Words, by place, that make a row's step the one after it, with this token.
    pub(crate) fn next(&self, row: usize, token: u32) -> [(usize, u32); 3] {
        let [ids, positions] = [self.layout.ids(), self.layout.position_of()].map(|base| base as usize + row);
        let span = self.layout.spans() as usize + 4 * self.word(self.layout.sequence_of(), row) + 2;
        [(ids, token), (positions, self.words[positions] + 1), (span, self.words[span] + 1)]
    }

    /// The rows of the sequence that a row belongs to.
    pub fn span_of(&self, row: usize) -> Span {
        self.span(self.word(self.layout.sequence_of(), row))
    }

    /// The rows of a sequence.
    pub fn span(&self, sequence: usize) -> Span {
        let at = self.layout.spans() as usize + 4 * sequence;
        let [row, rows, position, slot] = [0, 1, 2, 3].map(|i| self.words[at + i]);
        Span { row, rows, position, slot }
    }

    /// A tile of one sequence: its span, and the rows of the tile within the span. None past the last tile.
    pub fn tile(&self, tile: usize) -> Option<(Span, Range<usize>)> {
        if tile >= self.words[STEP_TILE_COUNT] as usize {
            return None;
        }
        let span = self.span(self.word(self.layout.tile_list(), 2 * tile));
        let first = self.word(self.layout.tile_list(), 2 * tile + 1);
        Some((span, first..(first + TILE as usize).min(span.rows as usize)))
    }

    /// The row that an output takes.
    pub fn output(&self, output: usize) -> usize {
        self.word(self.layout.output_list(), output)
    }
}
