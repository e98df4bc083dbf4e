//! A generator with the model built into the binary.

use super::Generator;
use crate::{error::Result, model::built_in};

impl Generator {
    /// Opens the built-in model on the best device of this machine, with the defaults of [`Generator::open`].
    ///
    /// # Errors
    /// Those of [`built_in::open`] and [`Generator::new`].
    pub fn built_in() -> Result<Self> {
        Self::on_best_device(&built_in::open()?)
    }
}
