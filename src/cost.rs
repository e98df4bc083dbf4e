//! What a launch costs at the least: bytes that must cross the memory interface if every operand is read or written
//! once, and floating-point operations.
//!
//! A kernel states its cost beside its formula ([`crate::pass::Kernel::cost`]). Reading a tile again, or for rows that
//! are not alive, is a kernel's inefficiency and no part of its cost: a measured time shows it. Steps and block tables,
//! a few KiB of words, are not counted.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

use crate::{
    pass::Dispatch,
    step::{RowCount, Work},
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

/// What a run of a recording has to do, as far as costs depend on it: the recording itself knows capacities alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// Of each sequence: rows of this step, and position of the first.
    sequences: Vec<(u64, u64)>,
    /// Rows that want logits.
    outputs: u64,
}

impl Load {
    /// The load of a step.
    pub fn of(work: &[Work]) -> Self {
        let sequences = work.iter().map(|work| (work.range.len() as u64, work.range.start as u64));
        Self { sequences: sequences.collect(), outputs: work.iter().map(|work| work.outputs.len() as u64).sum() }
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

    /// How many rows of the tensors of a launch are alive.
    pub fn rows(&self, launch: &Dispatch) -> u64 {
        match launch.size("LIVE") {
            live if live == RowCount::Outputs as u64 => self.outputs,
            _ => self.sequences.iter().map(|(rows, _)| rows).sum(),
        }
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

/// What costs are computed from.
impl Dispatch {
    /// What it costs at the least; nothing where no row is alive.
    pub fn cost(&self, load: &Load) -> Cost {
        let counts_rows = self.defines.iter().any(|(name, _)| *name == "LIVE");
        if counts_rows && load.rows(self) == 0 {
            return Cost::default();
        }
        (self.kernel.cost)(self, load)
    }

    /// The value of a define, to count with.
    pub fn size(&self, define: &str) -> u64 {
        u64::from(self.define(define))
    }

    /// The word of a launch constant.
    ///
    /// # Panics
    /// If the kernel has no such parameter.
    pub fn word(&self, param: &str) -> u64 {
        let at = self.kernel.params.iter().position(|(name, _)| *name == param);
        let word = at.and_then(|at| self.params.get(at));
        u64::from(*word.unwrap_or_else(|| panic!("{}: no parameter {param}", self.kernel.name)))
    }

    /// Bytes of some elements of a binding.
    pub fn bytes(&self, binding: &str, elements: u64) -> u64 {
        let (at, of) = (self.binding(binding), |[rows, width]: [u32; 2]| u64::from(rows) * u64::from(width));
        match self.elements[at].is_quantised() {
            // Scales are counted with what they scale.
            true => self.elements[at].size(self.shapes[at]) * elements / of(self.shapes[at]).max(1),
            false => elements * self.elements[at].bytes(),
        }
    }

    /// Operations of a product of matrices: for the matrix units where both operands have 16 bits at the most.
    pub fn product(&self, operands: [&str; 2], multiply_adds: u64) -> Flops {
        let half = operands.iter().all(|operand| self.elements[self.binding(operand)].is_narrow());
        let flops = 2 * multiply_adds;
        if half { Flops { matrix: flops, vector: 0 } } else { Flops { matrix: 0, vector: flops } }
    }

    fn binding(&self, name: &str) -> usize {
        let at = self.kernel.bindings.iter().position(|binding| binding.name == name);
        at.unwrap_or_else(|| panic!("{}: no binding {name}", self.kernel.name))
    }
}
