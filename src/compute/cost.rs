//! Roofline cost of a dispatch: floating-point operations, and the bytes that cross the memory interface if every
//! operand is read or written once.
//!
//! A kernel states its cost beside its formula ([`super::kernel::Kernel::cost`]). Reading a tile twice, or reading for
//! inactive rows, is a kernel's inefficiency and not part of the cost: the measured time shows it. Step buffers and
//! page tables, a few KiB of words, are not counted.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

/// Bytes moved between memory and the cores of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes {
    /// From memory to the cores.
    pub read: u64,
    /// From the cores to memory.
    pub written: u64,
}

impl Bytes {
    /// The sum of both directions.
    pub fn moved(self) -> u64 {
        self.read + self.written
    }
}

/// Floating-point operations: two for each multiply-add of a sum. Element-wise operations (scaling, gates,
/// exponentials) are not counted; bytes bound them on every device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flops {
    /// Operations of products whose operands both have at most 16 bits, which matrix units can compute.
    pub matrix: u64,
    /// All other operations.
    pub vector: u64,
}

impl Flops {
    /// The operations of f32 sums.
    pub fn vector(multiply_adds: u64) -> Self {
        Self { matrix: 0, vector: 2 * multiply_adds }
    }

    /// The sum of both kinds.
    pub fn total(self) -> u64 {
        self.matrix + self.vector
    }
}

/// The roofline cost of one or more dispatches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Bytes of weights, which are only read.
    pub weights: u64,
    /// Bytes of data that lives from one dispatch to another: activations, logits, the table of angles.
    pub activations: Bytes,
    /// Bytes of data that lives from one step to another: keys and values, recurrent states, conv states.
    pub cache: Bytes,
    /// Floating-point operations.
    pub flops: Flops,
}

impl Cost {
    /// Bytes of all kinds, in both directions.
    pub fn moved(&self) -> u64 {
        self.weights + self.activations.moved() + self.cache.moved()
    }
}

impl Add for Bytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { read: self.read + other.read, written: self.written + other.written }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let flops =
            Flops { matrix: self.flops.matrix + other.flops.matrix, vector: self.flops.vector + other.flops.vector };
        Self {
            weights: self.weights + other.weights,
            activations: self.activations + other.activations,
            cache: self.cache + other.cache,
            flops,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// The step count that limits the active rows of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowCount {
    /// Rows of tokens.
    Rows = 0,
    /// Rows that need logits.
    Outputs = 1,
}

/// The work of one run of a recording, for its cost. The recording itself knows only capacities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// For each sequence: its rows in this step, and the position of the first row.
    sequences: Vec<(u64, u64)>,
    /// Rows that need logits.
    outputs: u64,
}

impl Load {
    /// A load of these sequences (rows in this step, position of the first row) and this number of rows that need
    /// logits.
    pub fn new(sequences: Vec<(u64, u64)>, outputs: u64) -> Self {
        Self { sequences, outputs }
    }

    /// Decode: one token for each of `sequences` sequences, after `depth` earlier tokens.
    pub fn decode(sequences: u32, depth: u32) -> Self {
        let sequences = u64::from(sequences);
        Self { sequences: (0..sequences).map(|_| (1, u64::from(depth))).collect(), outputs: sequences }
    }

    /// Prefill: the last `rows` tokens of one prompt, after `depth` earlier tokens. The last row needs logits.
    pub fn prompt(rows: u32, depth: u32) -> Self {
        Self { sequences: vec![(u64::from(rows), u64::from(depth))], outputs: 1 }
    }

    /// Token rows of all sequences.
    pub fn tokens(&self) -> u64 {
        self.sequences.iter().map(|(rows, _)| rows).sum()
    }

    /// Rows that need logits.
    pub fn outputs(&self) -> u64 {
        self.outputs
    }

    /// Number of sequences in the step.
    pub fn sequences(&self) -> u64 {
        self.sequences.len() as u64
    }

    /// Number of sequences that continue from an earlier step.
    pub fn continued(&self) -> u64 {
        self.sequences.iter().filter(|(_, position)| *position > 0).count() as u64
    }

    /// Context length of all sequences together, including this step's tokens.
    pub fn context(&self) -> u64 {
        self.contexts().sum()
    }

    /// Context length of each sequence, including this step's tokens.
    pub fn contexts(&self) -> impl Iterator<Item = u64> {
        self.sequences.iter().map(|(rows, position)| rows + position)
    }

    /// Pairs of a row and a token it attends to: Σ over rows of position + 1.
    pub fn pairs(&self) -> u64 {
        self.sequences.iter().map(|(rows, position)| rows * position + rows * (rows + 1) / 2).sum()
    }

    /// Earlier tokens within the last `max_rows` before the step's rows, of all sequences.
    pub fn before(&self, max_rows: u64) -> u64 {
        self.sequences.iter().map(|(_, position)| *position.min(&max_rows)).sum()
    }

    /// Rows within the last `max_rows` of the step, of all sequences.
    pub fn last(&self, max_rows: u64) -> u64 {
        self.sequences.iter().map(|(rows, _)| *rows.min(&max_rows)).sum()
    }
}
