//! A vector for a text.

use super::Generator;
use crate::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    engine::{ALIGN, EngineOptions, Runner},
    error::{Error, Result},
    kernels::operands::step::{Input, Layout, Phase, SequenceId, Work},
};

impl Generator {
    /// The last hidden state of a text's last token, after the final norm: as many numbers as the model is wide, and
    /// not of unit length. Uses separate memory, so open texts do not change.
    ///
    /// The model was trained to predict the next token, not to place texts of one meaning close together. A model that
    /// was trained for embeddings finds similar texts better.
    ///
    /// # Errors
    /// [`Error::Request`] for a text of no tokens, or more tokens than the model's context; [`Error::Device`];
    /// [`Error::OutOfMemory`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        pollster::block_on(self.embed_async(text))
    }

    /// [`Generator::embed`] for callers that must not block.
    ///
    /// # Errors
    /// Those of [`Generator::embed`].
    pub async fn embed_async(&self, text: &str) -> Result<Vec<f32>> {
        let ids = self.text.tokenizer.encode(text)?;
        let model = self.engine.model();
        let (count, most) = (ids.len(), model.config.context);
        if ids.is_empty() || count > most as usize {
            let what = format!("a text of {count} tokens has no embedding: expected 1 to {most}, the model's context");
            return Err(Error::Request(what));
        }
        let options = EngineOptions { context: Some(count as u32), sequences: 1, ..EngineOptions::default() };
        let options = EngineOptions { kv: self.engine.plan().kv, ..options };
        let mut runner = Runner::new(model.clone(), options.plan(model)?)?;
        runner.assign_all()?;
        let rows = options.budget_on(model.backend.caps()).min((count as u32).next_multiple_of(ALIGN));
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
}
