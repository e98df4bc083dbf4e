//! `devices`: the available backends and devices.

use bimetal::{
    Result,
    low_level::compute::devices::{DeviceEntry, devices},
};
use clap::Args;
use serde_json::json;

use super::{
    output::{print, print_json},
    table::table,
};

/// Flags of `devices`.
#[derive(Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists backends and devices.
pub fn run(arguments: &Arguments) -> Result<()> {
    let entries = devices();
    if arguments.json {
        return print_json(&entries.iter().map(as_json).collect());
    }
    let heading =
        ["", "#", "backend", "device", "kind", "driver", "memory", "binding", "group memory", "subgroup", "features"];
    let rows: Vec<_> = entries.iter().map(row).collect();
    let elsewhere = bimetal::low_level::compute::metal::ELSEWHERE
        .map(|why| format!(" The native Metal backend {why}."))
        .unwrap_or_default();
    let note = format!("* is what `--backend auto` takes.{elsewhere}\n");
    print(&(table(&heading, &rows) + &note))
}

fn row(entry: &DeviceEntry) -> Vec<String> {
    let caps = &entry.caps;
    let size = |bytes: u64| if bytes == u64::MAX { "-".into() } else { format!("{} MiB", bytes >> 20) };
    let group = if caps.group_memory == u32::MAX { "-".into() } else { format!("{} KiB", caps.group_memory >> 10) };
    vec![
        if entry.auto { "*" } else { "" }.into(),
        entry.index.map_or("-".into(), |index| index.to_string()),
        caps.backend.into(),
        caps.device.clone(),
        format!("{:?}", caps.kind).to_lowercase(),
        caps.driver.clone(),
        caps.memory.map_or("-".into(), size),
        size(caps.max_binding),
        group,
        caps.subgroup.map_or("-".into(), |[min, max]| format!("{min}-{max}")),
        entry.features.join(" "),
    ]
}

fn as_json(entry: &DeviceEntry) -> serde_json::Value {
    let caps = &entry.caps;
    json!({
        "auto": entry.auto, "index": entry.index, "backend": caps.backend, "device": caps.device,
        "kind": format!("{:?}", caps.kind).to_lowercase(), "driver": caps.driver, "memory": caps.memory,
        "max_binding": caps.max_binding, "max_buffer": caps.max_buffer, "group_memory": caps.group_memory,
        "subgroup": caps.subgroup, "features": entry.features,
    })
}
