//! All programs of a run, and all dispatches of each kernel.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{digest::Digest, dump::Dump, recorder::ProgramRun, spelling::dispatch_line};

/// Digests of programs and of kernels' dispatches.
#[derive(Default)]
pub struct Programs {
    lines: Vec<String>,
    kernels: BTreeMap<&'static str, Dispatches>,
}

/// Number of dispatches, and their digest in order.
#[derive(Default)]
struct Dispatches {
    count: usize,
    digest: Digest,
}

impl Programs {
    /// Adds a program. Names must be unique.
    pub fn add(&mut self, name: &str, run: &ProgramRun, dump: &Dump) {
        let ProgramRun { dispatches, memory, transfers } = run;
        let mut text = String::new();
        for dispatch in dispatches {
            let line = dispatch_line(dispatch);
            let of_kernel = self.kernels.entry(dispatch.kernel.name).or_default();
            of_kernel.count += 1;
            of_kernel.digest.write(&line);
            text.push_str(&line);
        }
        for (text, ending) in [(&text, "dispatches"), (memory, "memory"), (transfers, "transfers")] {
            dump.write(&PathBuf::from(format!("programs/{name}.{ending}")), text);
        }
        let [dispatched, memory, transfers] = [&text, memory, transfers].map(|text| Digest::of(text));
        let count = dispatches.len();
        self.lines.push(format!(
            "program {name} count={count} dispatches={dispatched} memory={memory} transfers={transfers}"
        ));
    }

    /// One line per kernel and one per program.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let kernels = self
            .kernels
            .iter()
            .map(|(kernel, Dispatches { count, digest })| format!("kernel {kernel} count={count} dispatches={digest}"));
        kernels.chain(self.lines.iter().cloned())
    }
}
