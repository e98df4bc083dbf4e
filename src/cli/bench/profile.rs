//! Where the time of a step goes: each kernel's share, by the device's own clock.

use std::time::Duration;

use bimetal::{
    Error, Result,
    cache::{BLOCK, Cache, Plan},
    generator::Setup,
    model::Model,
    pass::Dispatch,
    step::Kind,
};

use super::chunked::{Way, ids};
use crate::cli::table::table;

/// All launches of one kind in a program.
struct Line {
    kernel: String,
    launches: usize,
    time: Duration,
}

/// Profiles a decode step of each number of sequences, and a prompt chunk, at each depth.
pub fn profile(model: &Model, setup: &Setup, (depths, repeat): (&[u32], u32)) -> Result<()> {
    for &depth in depths {
        for (kind, rows) in [(Kind::Decode, 1), (Kind::Prompt, setup.engine.budget)] {
            let depth = depth.max(1);
            let context = (depth + rows).next_multiple_of(BLOCK);
            let plan = Plan { context, blocks: context / BLOCK, slots: 1, kv: setup.engine.kv };
            let mut cache = Cache::new(&model.backend, &model.config, &plan)?;
            cache.tables.write(0, &(0..plan.blocks).collect::<Vec<u32>>())?;
            let way = Way::new(model, &mut cache, kind, rows)?;
            way.write(&ids(rows, model.vocabulary), depth, true)?;
            let times = (0..repeat).map(|_| times(model, &way)).collect::<Result<Vec<_>>>()?;
            report(&format!("{kind:?} of {rows} at {depth}"), &lines(&way.program.dispatches, &times));
        }
    }
    Ok(())
}

fn times(model: &Model, way: &Way) -> Result<Vec<Duration>> {
    let refusal = || Error::Unsupported {
        what: format!("a profile on {}", model.backend.caps().device),
        hint: "its driver offers no clock".into(),
    };
    model.backend.time(&way.program)?.ok_or_else(refusal)
}

/// The median time of each launch, summed by kernel and shape, the longest first.
fn lines(dispatches: &[Dispatch], times: &[Vec<Duration>]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (at, dispatch) in dispatches.iter().enumerate() {
        let mut runs: Vec<Duration> = times.iter().map(|times| times[at]).collect();
        runs.sort();
        let (kernel, time) = (name(dispatch), runs[runs.len() / 2]);
        match lines.iter_mut().find(|line| line.kernel == kernel) {
            Some(line) => (line.launches, line.time) = (line.launches + 1, line.time + time),
            None => lines.push(Line { kernel, launches: 1, time }),
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.time));
    lines
}

/// The kernel, and its sums' length and number of columns where it is a product.
fn name(dispatch: &Dispatch) -> String {
    let inner = dispatch.defines.iter().find(|(name, _)| *name == "K");
    let columns = dispatch.kernel.params.iter().position(|(name, _)| *name == "count").map(|at| dispatch.params[at]);
    match (inner, columns) {
        (Some((_, inner)), Some(columns)) => format!("{} {columns}×{inner}", dispatch.kernel.name),
        _ => dispatch.kernel.name.into(),
    }
}

fn report(title: &str, lines: &[Line]) {
    let total: Duration = lines.iter().map(|line| line.time).sum();
    let row = |line: &Line| {
        let micros = line.time.as_secs_f64() * 1e6;
        vec![
            line.kernel.clone(),
            line.launches.to_string(),
            format!("{micros:.1}"),
            format!("{:.2}", micros / line.launches as f64),
            format!("{:.1}", 100.0 * line.time.as_secs_f64() / total.as_secs_f64()),
        ]
    };
    println!("{title}: {:.3} ms in all", total.as_secs_f64() * 1e3);
    print!("{}", table(&["kernel", "launches", "µs", "each", "%"], &lines.iter().map(row).collect::<Vec<_>>()));
}
