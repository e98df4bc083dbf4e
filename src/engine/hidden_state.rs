//! The last hidden state of a sequence that is computed once, outside of an engine.

use std::sync::Arc;

use super::{ALIGN, EngineOptions, Runner};
use crate::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    error::{Error, Result},
    kernels::operands::step::{Input, Layout, Phase, SequenceId, Work},
    model::Model,
};

/// The hidden state of the last token after the final norm, with keys and values of this type. → \[D\]
///
/// # Errors
/// [`Error::Request`] for no ids, or more than the model's context; [`Error::Device`]; [`Error::OutOfMemory`].
pub async fn last_hidden_state(model: &Arc<Model>, kv: DType, ids: &[u32]) -> Result<Vec<f32>> {
    let (count, most) = (ids.len(), model.config.context);
    if ids.is_empty() || count > most as usize {
        let what = format!("a text of {count} tokens has no embedding: expected 1 to {most}, the model's context");
        return Err(Error::Request(what));
    }
    let options = EngineOptions { context: Some(count as u32), sequences: 1, kv, ..EngineOptions::default() };
    let rows = options.budget_on(model.backend.caps()).min((count as u32).next_multiple_of(ALIGN));
    let options = EngineOptions { budget: Some(rows), ..options };
    let mut runner = Runner::new(model.clone(), options.plan(model)?)?;
    runner.assign_all()?;
    let step = runner.step(Phase::Prefill, Layout { rows, sequences: 1, outputs: 1 })?;
    let mut hidden = Tensor::new(&model.backend, [1, model.config.hidden], DType::F32, "hidden state")?;
    let pass = Pass::new(&runner.caps);
    runner.hidden(&pass, &step, &mut hidden);
    let program = model.backend.load(pass)?;
    for (chunk, tokens) in ids.chunks(rows as usize).enumerate() {
        let start = chunk * rows as usize;
        let work = Work::new(SequenceId::new(0), Phase::Prefill, start..start + tokens.len()).with_last_output();
        step.write(&[Input { work: &work, tokens, slot: 0 }])?;
        model.backend.run(&program)?;
    }
    let bytes = hidden.read(0..u64::from(hidden.width())).await?;
    Ok(bytemuck::allocation::pod_collect_to_vec(&bytes))
}
