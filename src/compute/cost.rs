//! What a launch costs at the least: bytes that must cross the memory interface if every operand is read or written
//! once, and floating-point operations.
//!
//! A kernel states its cost beside its formula ([`super::kernel::Kernel::cost`]). Reading a tile again, or for rows that
//! are not alive, is a kernel's inefficiency and no part of its cost: a measured time shows it. Steps and block tables,
//! a few KiB of words, are not counted.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

/// Bytes moved between memory and a device's cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes {
    /// To the cores.
    pub read: u64,
    /// To memory.
    pub written: u64,
}

impl Bytes {
    /// Both ways together.
    pub fn moved(self) -> u64 {
        self.read + self.written
    }
}

/// Floating-point operations: two for each multiply-add of a sum. What is done to each element alone (scaling, gates,
/// exponentials) is not counted; bytes bound it on every device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flops {
    /// Of products whose operands both have 16 bits at the most, which a matrix unit can take.
    pub matrix: u64,
    /// All others.
    pub vector: u64,
}

impl Flops {
    /// Of sums in single precision.
    pub fn vector(multiply_adds: u64) -> Self {
        Self { matrix: 0, vector: 2 * multiply_adds }
    }

    /// Both kinds together.
    pub fn total(self) -> u64 {
        self.matrix + self.vector
    }
}

/// What a launch, or several, cost at the least.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Bytes of weights; they are only read.
    pub weights: u64,
    /// Bytes of everything that lives from one launch to another: activations, logits, the table of angles.
    pub activations: Bytes,
    /// Bytes of what lives from one step to another: keys and values, recurrent states, rings.
    pub cache: Bytes,
    /// Operations.
    pub flops: Flops,
}

impl Cost {
    /// Bytes of all kinds, both ways.
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

/// Which count of the step says how many rows of a tensor are active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowCount {
    /// Rows of tokens.
    Rows = 0,
    /// Rows that want logits.
    Outputs = 1,
}

/// What a run of a recording has to do, as far as costs depend on it: the recording itself knows capacities alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// Of each sequence: rows of this step, and position of the first.
    sequences: Vec<(u64, u64)>,
    /// Rows that want logits.
    outputs: u64,
}

impl Load {
    /// Of each sequence its rows of this step and the position of the first, and how many rows want logits.
    pub fn new(sequences: Vec<(u64, u64)>, outputs: u64) -> Self {
        Self { sequences, outputs }
    }

    /// One token of each of `sequences` sequences, after `depth` others.
    pub fn decode(sequences: u32, depth: u32) -> Self {
        let sequences = u64::from(sequences);
        Self { sequences: (0..sequences).map(|_| (1, u64::from(depth))).collect(), outputs: sequences }
    }

    /// The last `rows` tokens of one prompt, after `depth` others; the last one wants logits.
    pub fn prompt(rows: u32, depth: u32) -> Self {
        Self { sequences: vec![(u64::from(rows), u64::from(depth))], outputs: 1 }
    }

    /// Rows of tokens, of all sequences.
    pub fn tokens(&self) -> u64 {
        self.sequences.iter().map(|(rows, _)| rows).sum()
    }

    /// Rows that want logits.
    pub fn outputs(&self) -> u64 {
        self.outputs
    }

    /// How many sequences take part.
    pub fn sequences(&self) -> u64 {
        self.sequences.len() as u64
    }

    /// How many of them go on from an earlier step.
    pub fn continued(&self) -> u64 {
        self.sequences.iter().filter(|(_, position)| *position > 0).count() as u64
    }

    /// Tokens of all sequences, those of this step included.
    pub fn context(&self) -> u64 {
        self.contexts().sum()
    }

    /// Tokens of each sequence, those of this step included.
    pub fn contexts(&self) -> impl Iterator<Item = u64> {
        self.sequences.iter().map(|(rows, position)| rows + position)
    }

    /// Pairs of a row and a token that it attends to: Σ over rows of position + 1.
    pub fn pairs(&self) -> u64 {
        self.sequences.iter().map(|(rows, position)| rows * position + rows * (rows + 1) / 2).sum()
    }

    /// Tokens among the last `most` before the step's rows, of all sequences.
    pub fn before(&self, most: u64) -> u64 {
        self.sequences.iter().map(|(_, position)| *position.min(&most)).sum()
    }

    /// Rows among the last `most` of the step, of all sequences.
    pub fn last(&self, most: u64) -> u64 {
        self.sequences.iter().map(|(rows, _)| *rows.min(&most)).sum()
    }
}
