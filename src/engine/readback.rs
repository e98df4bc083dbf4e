//! The outputs of one phase's programs on the device, and their readback.

use std::{ops::Range, sync::Arc};

use crate::{
    compute::{
        backend::Backend,
        dtype::DType,
        memory::{BufferId, Pending},
        pass::Program,
        tensor::Tensor,
    },
    engine::sampler::{Need, Sampler},
    error::{Error, Result},
    kernels::argmax,
};

/// Number of candidates that the device selects from each row of logits.
const CANDIDATES: u32 = 64;

/// Logits and selections of a step's outputs.
pub(super) struct Outputs {
    /// \[outputs, V\] f32
    pub(super) logits: Tensor,
    /// \[outputs, 1\] u32: the greedy choices.
    pub(super) tokens: Tensor,
    /// \[outputs, CANDIDATES\] u32
    pub(super) ids: Tensor,
    /// \[outputs, CANDIDATES\] f32
    pub(super) values: Tensor,
}

impl Outputs {
    pub(super) fn new(backend: &Arc<dyn Backend>, rows: u32, vocabulary: u32) -> Result<Self> {
        let new = |width, dtype, label| Tensor::new(backend, [rows, width], dtype, label);
        Ok(Self {
            logits: new(vocabulary, DType::F32, "logits")?,
            tokens: new(1, DType::U32, "tokens")?,
            ids: new(CANDIDATES, DType::U32, "candidates")?,
            values: new(CANDIDATES, DType::F32, "candidates")?,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.logits.bytes() + self.tokens.bytes() + self.ids.bytes() + self.values.bytes()
    }
}

/// The selection of a program from each row of logits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Select {
    /// The largest logit.
    #[default]
    Greedy,
    /// The CANDIDATES largest logits.
    Candidates,
}

impl Select {
    /// The selection that serves both this one and a sampler's need. A need for whole rows requires no selection.
    pub(super) fn or(self, need: Need) -> Self {
        match need {
            Need::Argmax | Need::Row => self,
            Need::Candidates => Select::Candidates,
        }
    }
}

/// The selections read back from one run, and the outputs to read whole rows from.
pub(super) struct Readback<'a> {
    outputs: &'a Outputs,
    /// The rows of each sequence's outputs.
    pub(super) rows: Vec<Range<u32>>,
    select: Select,
    ids: Vec<u32>,
    values: Vec<f32>,
}

impl Outputs {
    /// Reads a whole row of logits.
    pub(super) async fn row(&self, row: u32) -> Result<Vec<f32>> {
        let (row, width) = (u64::from(row), u64::from(self.logits.width()));
        let bytes = self.logits.read(row * width..(row + 1) * width).await?;
        Ok(words(&bytes).into_iter().map(f32::from_bits).collect())
    }

    /// The buffer ranges with the selections of the wanted rows; empty without wanted rows.
    fn wanted(&self, rows: &[Range<u32>], select: Select) -> Vec<(BufferId, Range<u64>)> {
        let ends = rows.iter().filter(|rows| !rows.is_empty()).map(|rows| u64::from(rows.end));
        let count = ends.max().unwrap_or(0);
        let tensors = match select {
            _ if count == 0 => vec![],
            Select::Greedy => vec![&self.tokens],
            Select::Candidates => vec![&self.ids, &self.values],
        };
        let bytes = |tensor: &Tensor| count * u64::from(tensor.width()) * tensor.dtype().bytes();
        tensors.into_iter().map(|tensor| (tensor.buffer().id(), 0..bytes(tensor))).collect()
    }

    /// Runs a program that writes these outputs, and requests the selections of the wanted rows. `rows` are the rows of
    /// each sequence's outputs.
    pub(super) fn run(
        &self,
        backend: &dyn Backend,
        program: &Program,
        rows: Vec<Range<u32>>,
        select: Select,
    ) -> Result<PendingTokens> {
        let mut read = backend.run_and_read(program, &self.wanted(&rows, select))?.into_iter();
        Ok(PendingTokens { rows, select, ids: read.next(), values: read.next() })
    }
}

/// The pending readback of one run.
#[derive(Default)]
pub(super) struct PendingTokens {
    rows: Vec<Range<u32>>,
    select: Select,
    ids: Option<Pending>,
    values: Option<Pending>,
}

impl PendingTokens {
    /// The same readback for only these rows, one for each sequence.
    pub(super) fn of_rows(self, rows: impl Iterator<Item = usize>) -> Self {
        Self { rows: rows.map(|row| row as u32..row as u32 + 1).collect(), ..self }
    }

    /// Waits for the data. `outputs` are the outputs of the same run.
    pub(super) async fn arrived(self, outputs: &Outputs) -> Result<Readback<'_>> {
        let (ids, values) = (words_of(self.ids).await?, words_of(self.values).await?);
        let values = values.into_iter().map(f32::from_bits).collect();
        Ok(Readback { outputs, rows: self.rows, select: self.select, ids, values })
    }
}

impl Readback<'_> {
    /// The sampler's choice from one row. Reads the whole row only if the sampler needs it.
    pub(super) async fn choose(&self, row: u32, sampler: &mut Sampler) -> Result<u32> {
        match (sampler.needs(), self.select) {
            (Need::Argmax, Select::Greedy) => greedy(self.ids[row as usize]),
            (Need::Row, _) => sampler.choose_row(&self.outputs.row(row).await?),
            _ => match sampler.choose_candidates(&self.candidates(row))? {
                Some(token) => Ok(token),
                None => sampler.choose_row(&self.outputs.row(row).await?),
            },
        }
    }

    /// The candidates of a row, largest logit first; among equal logits, the lower id first.
    fn candidates(&self, row: u32) -> Vec<(u32, f32)> {
        let range = (row * CANDIDATES) as usize..((row + 1) * CANDIDATES) as usize;
        let pairs = self.ids[range.clone()].iter().copied().zip(self.values[range].iter().copied());
        let mut pairs: Vec<_> = pairs.filter(|(id, _)| *id != u32::MAX).collect();
        // NaN sorts first, so the sampler always sees it.
        pairs.sort_by(|(a, x), (b, y)| y.is_nan().cmp(&x.is_nan()).then(y.total_cmp(x)).then(a.cmp(b)));
        pairs
    }
}

fn greedy(token: u32) -> Result<u32> {
    if token == argmax::NONE {
        let what = "the model's logits hold NaN, or nothing finite: its weights or this device compute nonsense";
        return Err(Error::Device { label: "sampling".into(), what: what.into() });
    }
    Ok(token)
}

async fn words_of(pending: Option<Pending>) -> Result<Vec<u32>> {
    match pending {
        Some(pending) => Ok(words(&pending.await?)),
        None => Ok(Vec::new()),
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytemuck::allocation::pod_collect_to_vec(bytes)
}
