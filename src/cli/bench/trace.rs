//! Dispatches as a timeline in the trace event format of Perfetto and chrome://tracing.

use std::time::Duration;

use serde_json::{Value, json};

use super::profile::{Profile, Timed};

/// One row per program, with its dispatches in order. Each was timed alone, so the timeline has no gaps.
pub fn events(profiles: &[Profile]) -> Value {
    let rows = (1..).zip(profiles).flat_map(|(row, profile)| {
        let named = json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": { "name": profile.shape.title() } });
        let mut at = Duration::ZERO;
        let dispatches = profile.dispatches.iter().map(move |dispatch| {
            let started = at;
            at += dispatch.time;
            event(dispatch, row, started)
        });
        [named].into_iter().chain(dispatches)
    });
    json!({ "displayTimeUnit": "ns", "traceEvents": rows.collect::<Vec<_>>() })
}

fn event(dispatch: &Timed, row: u32, started: Duration) -> Value {
    let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
    json!({
        "ph": "X", "name": dispatch.name, "cat": "launch", "pid": 1, "tid": row,
        "ts": micros(started), "dur": micros(dispatch.time),
        "args": {
            "kernel": dispatch.label, "grid": dispatch.grid,
            "bytes": dispatch.cost.moved(), "flops": dispatch.cost.flops.total(),
        },
    })
}
