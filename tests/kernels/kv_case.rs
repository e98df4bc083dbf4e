//! Attention steps: heads, and a cache with the keys and values of their sequences.

use std::sync::Arc;

use bimetal::{
    Backend,
    low_level::{
        compute::{dtype::DType, pass::Pass, tensor::Tensor},
        kernels::operands::{caches::KvPages, heads::AttentionHeads},
        ops::attention::attend_prefill,
    },
};

use crate::{
    harness::{Case, backends},
    step_cases::{StepCase, recorder},
};

#[derive(Clone, Copy)]
pub struct KvCase {
    pub step: StepCase,
    pub heads: AttentionHeads,
    /// Type of keys and values.
    pub cache: DType,
}

impl KvCase {
    /// The largest element of a query; keys go up to twice that. Scores differ enough for some keys to outweigh all
    /// others.
    fn largest(&self) -> f32 {
        20.0 / (self.heads.width as f32).sqrt()
    }

    /// Queries in f32. They depend only on slot and position, so another cut of the same sequence has the same queries.
    pub fn queries(&self, case: &Case) -> Tensor {
        let (width, largest) = (self.heads.query * self.heads.width, self.largest());
        self.step.by_position(case, "q", width, -largest..largest)
    }

    /// The rows with the gates.
    pub fn gates(&self, case: &Case) -> Tensor {
        self.step.by_position(case, "x", self.heads.projected(), -6.0..6.0)
    }

    pub fn pages(&self, case: &Case) -> KvPages {
        let largest = 2.0 * self.largest();
        self.step.pages(case, self.heads, self.cache, -largest..largest)
    }

    /// Records a prefill with these queries, and marks the result as `out`.
    pub fn prefill(&self, case: &Case, p: &Pass, q: &Tensor, to: DType) {
        let (step, x, pages) = (self.step.step(case, 10), self.gates(case), self.pages(case));
        p.mark("out", &attend_prefill(recorder(p, &step).with_activations(to), q, &x, &pages));
    }
}

/// Every backend with keys and values of 16 bits, and of 8 bits.
pub fn backends_and_caches() -> impl Iterator<Item = (&'static str, Arc<dyn Backend>, DType)> {
    let both =
        |(name, backend): (_, Arc<dyn Backend>)| [DType::F16, DType::Q8Heads].map(|kv| (name, backend.clone(), kv));
    backends().into_iter().flat_map(both)
}
