//! Compiled kernels, keyed by text and cached for the lifetime of the device: recordings of all sizes share most of
//! them.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    time::Instant,
};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::{
    driver::{Driver, Shader},
    prelude::shader,
};
use crate::compute::lock::lock;
use crate::{
    compute::kernel::Dispatch,
    error::{Error, Result},
};

/// Every pipeline of one device.
pub(super) struct Pipelines<D: Driver> {
    compiled: Mutex<HashMap<Text, D::Pipeline>>,
    /// The driver's cache directory, and the fingerprint of the shader texts.
    kept: OnceLock<(PathBuf, u64)>,
}

/// An entry point and its whole text, which includes the number of lanes.
type Text = (&'static str, String);

impl<D: Driver> Pipelines<D> {
    pub(super) fn new() -> Self {
        Self { compiled: Mutex::default(), kept: OnceLock::new() }
    }

    /// Caches all later pipelines in a directory, for one set of shader texts. Only the first call has an effect.
    pub(super) fn keep(&self, driver: &D, directory: &Path, texts: u64) {
        let (directory, texts) = self.kept.get_or_init(|| (directory.into(), texts));
        driver.keep_pipelines(directory, *texts);
    }

    /// The pipeline of each dispatch. Compiles missing ones on all available threads.
    pub(super) fn of(&self, driver: &D, dispatches: &[Dispatch]) -> Result<Vec<D::Pipeline>> {
        let text = |dispatch: &Dispatch| Ok((dispatch.kernel.name, shader(dispatch)?));
        let texts = dispatches.iter().map(text).collect::<Result<Vec<Text>>>()?;
        let missing: Vec<_> = {
            let (compiled, mut seen) = (lock(&self.compiled), HashSet::new());
            let pairs = texts.iter().zip(dispatches);
            pairs.filter(|(text, _)| !compiled.contains_key(*text) && seen.insert(*text)).collect()
        };
        let (count, started) = (missing.len(), Instant::now());
        let new = missing.into_par_iter().map(|(text, dispatch)| Ok((text.clone(), compile(driver, text, dispatch)?)));
        let new = new.collect::<Result<Vec<_>>>()?;
        if count > 0 {
            log::debug!("{count} pipelines in {:.1?}", started.elapsed());
            self.kept.get().into_iter().for_each(|(directory, texts)| driver.keep_pipelines(directory, *texts));
        }
        let mut compiled = lock(&self.compiled);
        compiled.extend(new);
        Ok(texts.iter().map(|text| compiled[text].clone()).collect())
    }
}

fn compile<D: Driver>(driver: &D, (name, text): &Text, dispatch: &Dispatch) -> Result<D::Pipeline> {
    let label = dispatch.label();
    let pipeline = driver.new_pipeline(&Shader { name, label: &label, text, lanes: dispatch.lanes });
    pipeline.map_err(|log| Error::Shader { kernel: label, log })
}
