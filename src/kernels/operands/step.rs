//! The values that change from step to step, in one small device buffer of words.
//!
//! A program is recorded once and replayed. The host first writes here what differs between two runs.
//! `wgsl/lib/step.wgsl` defines the same layout.

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

/// Rows of one sequence that one workgroup of a tiled kernel processes.
pub const TILE: u32 = 32;

/// Words of the header: counts of rows, outputs, tiles and sequences, in this order.
const STEP_TILE_COUNT: usize = 2;
const STEP_SEQUENCE_COUNT: usize = 3;
const HEADER: u32 = 4;

/// Capacities of a step. They determine the place of every value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Maximum number of rows (tokens).
    pub rows: u32,
    /// Maximum number of sequences.
    pub sequences: u32,
    /// Maximum number of rows with logits.
    pub outputs: u32,
}

impl Layout {
    /// Maximum number of tiles: every sequence may end with a partial tile.
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

/// The rows of one sequence in a step. Rows and positions are consecutive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First row in the step.
    pub row: u32,
    /// Number of rows.
    pub rows: u32,
    /// Position of the first row's token in its sequence.
    pub position: u32,
    /// The sequence's slot.
    pub slot: u32,
}

/// How products process the rows of a tensor. The bits of a row depend on this choice, not on the number of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows {
    /// In tiles that share each read of the weights.
    Many,
    /// Each row by itself, as in a decode step.
    Few,
}

/// A step on the device.
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
    /// A step with these capacities. `tables` holds one row of page numbers per slot.
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

    /// The same step, for a recording of at most `rows` rows.
    ///
    /// # Panics
    /// If `rows` exceeds the capacity of the step.
    pub fn bucket(&self, rows: u32) -> Self {
        assert!(rows <= self.layout.rows, "step: a bucket of {rows} rows exceeds the capacity");
        Self { capacity: rows, ..self.clone() }
    }

    /// The same step, for tensors with one row per output: few rows.
    pub fn outputs(&self) -> Self {
        let capacity = self.layout.outputs.min(self.capacity);
        Self { rows: Rows::Few, count: RowCount::Outputs, capacity, ..self.clone() }
    }

    /// The same step; products process its rows in this way.
    pub fn with_rows(&self, rows: Rows) -> Self {
        Self { rows, ..self.clone() }
    }

    /// The capacities.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The phase, which selects the kernels.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How products process its rows.
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// Maximum rows of a tensor that uses this step's row count.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Maximum number of sequences.
    pub fn sequences(&self) -> u32 {
        self.layout.sequences.min(self.capacity)
    }

    /// Maximum number of tiles. In the decode phase, each tile has one row.
    pub fn tiles(&self) -> u32 {
        match self.phase {
            Phase::Prefill => self.layout.tiles(),
            Phase::Decode => self.sequences(),
        }
    }

    /// The words, in the layout of `wgsl/lib/step.wgsl`.
    pub fn words(&self) -> &Tensor {
        &self.words
    }

    /// Block numbers, one row per slot.
    pub fn tables(&self) -> &Tensor {
        &self.tables
    }

    /// Writes the inputs of the next run.
    ///
    /// # Errors
    /// Those of [`Backend::write`].
    ///
    /// # Panics
    /// If the inputs exceed the capacities, or if an input's tokens and positions differ in number.
    pub fn write(&self, inputs: &[Input<'_>]) -> Result<()> {
        self.words.write(0, &words(self.layout, inputs))
    }
}

/// The words of a step.
fn words(layout: Layout, inputs: &[Input<'_>]) -> Vec<u32> {
    let mut words = vec![0; layout.words() as usize];
    let (mut row, mut tiles, mut outputs) = (0, 0, 0);
    assert!(inputs.len() <= layout.sequences as usize, "step: {} sequences exceed the capacity", inputs.len());
    for (sequence, &Input { work, tokens, slot }) in (0u32..).zip(inputs) {
        let (rows, position) = (tokens.len() as u32, work.range.start as u32);
        assert_eq!(tokens.len(), work.range.len(), "step: token count of {}", work.sequence);
        assert!(row + rows <= layout.rows, "step: {} rows exceed the capacity", row + rows);
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
            assert!(outputs < layout.outputs, "step: {} outputs exceed the capacity", outputs + 1);
            words[(layout.output_list() + outputs) as usize] = row + output as u32;
            outputs += 1;
        }
        row += rows;
    }
    words[..4].copy_from_slice(&[row, outputs, tiles, inputs.len() as u32]);
    words
}

/// The binding of a step: binding 0 of every kernel that has one.
pub const BINDING: crate::compute::kernel::Binding = crate::compute::kernel::Binding::read("step", Element::U32);

impl<'a> Builder<'a> {
    /// Binds a step, with the defines that `wgsl/lib/step.wgsl` needs.
    pub fn step(self, step: &'a Step) -> Self {
        self.sizes(step).read(&step.words)
    }

    /// Binds a step that the kernel updates.
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
    /// The load of a step with this work.
    fn from(work: &[Work]) -> Self {
        let sequences = work.iter().map(|work| (work.range.len() as u64, work.range.start as u64));
        Self::new(sequences.collect(), work.iter().map(|work| work.outputs.len() as u64).sum())
    }
}

/// A step as the plain-loop kernels read it.
pub struct View<'a> {
    words: &'a [u32],
    layout: Layout,
    row_count: usize,
}

impl<'a> View<'a> {
    /// The step bound at binding 0.
    pub fn of(group: &Group<'a>) -> Self {
        let outputs = group.words("step", 0..HEADER as usize)[RowCount::Outputs as usize];
        let [rows, sequences] = ["MAX_ROWS", "MAX_SEQUENCES"].map(|name| group.define(name) as u32);
        // A kernel knows the number of outputs, but not their maximum.
        let layout = Layout { rows, sequences, outputs };
        Self { words: group.words("step", 0..layout.words() as usize), layout, row_count: group.define("ROW_COUNT") }
    }

    fn word(&self, base: u32, at: usize) -> usize {
        self.words[base as usize + at] as usize
    }

    /// Number of active rows.
    pub fn active_rows(&self) -> usize {
        self.words[self.row_count] as usize
    }

    /// Number of sequences.
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

    /// The words, as (index, value), that advance a row to the next step, with this token.
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

    /// The span of a tile, and the tile's rows within the span. `None` past the last tile.
    pub fn tile(&self, tile: usize) -> Option<(Span, Range<usize>)> {
        if tile >= self.words[STEP_TILE_COUNT] as usize {
            return None;
        }
        let span = self.span(self.word(self.layout.tile_list(), 2 * tile));
        let first = self.word(self.layout.tile_list(), 2 * tile + 1);
        Some((span, first..(first + TILE as usize).min(span.rows as usize)))
    }

    /// The row of an output.
    pub fn output(&self, output: usize) -> usize {
        self.word(self.layout.output_list(), output)
    }
}
