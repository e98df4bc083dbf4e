//! `devices`: the available backends and devices.

use bimetal::{
    Result,
    low_level::compute::devices::{DeviceEntry, devices},
};
use clap::Args;
use serde_json::json;

use super::{
    figures::{count, size},
    output::{print, print_json},
    table::{Column, paragraph, table},
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
    let elsewhere = bimetal::low_level::compute::metal::ELSEWHERE
        .map(|why| format!(" The native Metal backend {why}."))
        .unwrap_or_default();
    let note = paragraph(&format!("* is what `--backend auto` takes.{elsewhere}\n"), 0);
    print(&format!("{}\n{}\n{note}", overview(&entries), limits(&entries)))
}

/// The first two cells of a device: whether it is taken by itself, and its number.
fn label(entry: &DeviceEntry) -> [String; 2] {
    let mark = if entry.auto { "*" } else { "" };
    [mark.into(), entry.index.map_or("-".into(), |index| count(index as u64))]
}

fn overview(entries: &[DeviceEntry]) -> String {
    let columns = [
        Column::text(""),
        Column::number("#"),
        Column::text("backend"),
        Column::text("device"),
        Column::text("kind"),
        Column::text("driver"),
        Column::number("memory"),
    ];
    let row = |entry: &DeviceEntry| {
        let caps = &entry.caps;
        let kind = format!("{:?}", caps.kind).to_lowercase();
        let told = [caps.backend.into(), caps.device.clone(), kind, caps.driver.clone(), limit(caps.memory)];
        label(entry).into_iter().chain(told).collect()
    };
    table(&columns, &entries.iter().map(row).collect::<Vec<_>>())
}

fn limits(entries: &[DeviceEntry]) -> String {
    let columns = [
        Column::text(""),
        Column::number("#"),
        Column::text("backend"),
        Column::number("largest binding"),
        Column::number("group memory"),
        Column::number("subgroup"),
        Column::text("features"),
    ];
    let row = |entry: &DeviceEntry| {
        let caps = &entry.caps;
        let subgroup = caps.subgroup.map_or("-".into(), |[min, max]| format!("{min}-{max}"));
        let sizes = [wide(caps.max_binding), narrow(caps.group_memory)].map(limit);
        let told = [caps.backend.into()].into_iter().chain(sizes).chain([subgroup, entry.features.join(", ")]);
        label(entry).into_iter().chain(told).collect()
    };
    table(&columns, &entries.iter().map(row).collect::<Vec<_>>())
}

/// A limit of 64 bits; the largest number means that there is none.
fn wide(bytes: u64) -> Option<u64> {
    (bytes != u64::MAX).then_some(bytes)
}

/// A limit of 32 bits; the largest number means that there is none.
fn narrow(bytes: u32) -> Option<u64> {
    (bytes != u32::MAX).then_some(bytes.into())
}

fn limit(bytes: Option<u64>) -> String {
    bytes.map_or("-".into(), size)
}

fn as_json(entry: &DeviceEntry) -> serde_json::Value {
    let caps = &entry.caps;
    json!({
        "auto": entry.auto, "index": entry.index, "backend": caps.backend, "device": caps.device,
        "kind": format!("{:?}", caps.kind).to_lowercase(), "driver": caps.driver, "memory": caps.memory.and_then(wide),
        "max_binding": wide(caps.max_binding), "max_buffer": wide(caps.max_buffer),
        "group_memory": narrow(caps.group_memory), "subgroup": caps.subgroup, "features": entry.features,
    })
}
