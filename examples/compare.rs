//! Finds the first kernel that computes something else on one backend than on another.
//!
//! ```console
//! $ cargo run --example compare                # cpu against what Auto takes
//! $ cargo run --example compare -- cpu wgpu    # or against one that is named, software devices included
//! $ cargo run --example compare -- --model DIR
//! ```
//!
//! A prompt and a decode step are recorded once and run dispatch by dispatch on both. Each dispatch starts from
//! the first backend's results of the earlier dispatches, so that an error stays with the dispatch that makes it.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use bimetal::{
    Backend, BackendChoice, Checkpoint, Model, Result,
    low_level::{
        compute::dtype::DType,
        model::{built_in, weights::Source},
    },
    measure::backend_diff::{self, Finding},
    open,
};
use clap::Parser;

/// A prompt of this many tokens less one, and a decode step.
const TOKENS: u32 = 66;

#[derive(Parser)]
struct Arguments {
    /// The backend that is believed
    #[arg(default_value = "cpu")]
    reference: BackendChoice,
    /// The backend that is tested
    #[arg(default_value = "auto")]
    tested: BackendChoice,
    /// The directory of a checkpoint; the built-in model if there is none
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (reference, tested) = (backend(arguments.reference)?, backend(arguments.tested)?);
    let checkpoint = arguments.model.map_or_else(built_in::open, |dir| Checkpoint::open(&dir))?;
    let model = Arc::new(Model::load(&tested, &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {})?);
    let ids: Vec<u32> = (0..TOKENS).map(|i| i.wrapping_mul(2_654_435_761) % model.vocabulary).collect();
    println!("{}, believed; {}, tested", reference.caps().device, tested.caps().device);
    let [prompt, decode] = backend_diff::model(&reference, &model, &ids, DType::F16)?;
    for (phase, findings) in [("prompt", prompt), ("decode step", decode)] {
        if let Some(first) = findings.iter().find(|finding| finding.is_over()) {
            println!("{phase}: {first}");
            return Ok(ExitCode::FAILURE);
        }
        println!("\n{phase}: all of {} results are within their bounds", findings.len());
        table(&findings);
    }
    Ok(ExitCode::SUCCESS)
}

/// A backend by name. A software device is taken where it is the only one that has the name.
fn backend(choice: BackendChoice) -> Result<Arc<dyn Backend>> {
    let opened = open(choice, None).or_else(|error| match choice {
        BackendChoice::Wgpu => open(choice, Some("0")).map_err(|_| error),
        _ => Err(error),
    });
    Ok(opened?.backend)
}

/// The largest error of each kernel.
fn table(findings: &[Finding]) {
    let mut largest = BTreeMap::<_, (usize, f64, f64)>::new();
    for finding in findings {
        let (count, error, _) = largest.get(&(finding.kernel, finding.binding)).copied().unwrap_or_default();
        let row = (count + 1, error.max(finding.difference.error), finding.bound());
        largest.insert((finding.kernel, finding.binding), row);
    }
    println!("{:<16}{:<10}{:>12}{:>10}{:>9}", "kernel", "result", "dispatches", "error", "bound");
    for ((kernel, binding), (count, error, bound)) in largest {
        println!("{kernel:<16}{binding:<10}{count:>12}{error:>10.1e}{bound:>9.0e}");
    }
}
