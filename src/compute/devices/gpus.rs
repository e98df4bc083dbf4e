//! The GPUs of wgpu, and the choice among them.

use std::sync::Arc;

use super::{DeviceEntry, Opened, opened, rank};
use crate::{
    compute::{
        backend::Backend,
        wgpu::{Adapter, Restrict, Wgpu},
    },
    error::{Error, Result},
};

/// All GPUs, in wgpu's order.
pub(super) async fn all() -> Vec<DeviceEntry> {
    let entry = |(index, adapter): (usize, &Adapter)| DeviceEntry {
        index: Some(index),
        caps: adapter.caps().clone(),
        features: adapter.features(),
        auto: false,
    };
    Wgpu::adapters_async().await.iter().enumerate().map(entry).collect()
}

/// The best GPU that opens. Adds the others and their reasons to `skipped`.
pub(super) async fn best(skipped: &mut Vec<(String, String)>) -> Option<Opened> {
    let adapters = Wgpu::adapters_async().await;
    if adapters.is_empty() {
        skipped.push(("wgpu".into(), "no driver offers a device".into()));
    }
    let mut ranked = Vec::new();
    for adapter in &adapters {
        match rank(adapter.caps().kind) {
            Some(rank) => ranked.push((rank, adapter)),
            None => skipped.push((adapter.caps().device.clone(), software(adapter))),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    for (_, adapter) in ranked {
        match take(adapter, &format!("the best of {} found", adapters.len())).await {
            Ok(opened) => return Some(opened),
            Err(error) => skipped.push((adapter.caps().device.clone(), error.to_string())),
        }
    }
    None
}

/// Why a software device is not chosen by default, and how to request it.
fn software(adapter: &Adapter) -> String {
    let name = &adapter.caps().device;
    let word = name.split_whitespace().next().unwrap_or(name).to_lowercase();
    format!("a software driver, slower than the cpu backend; --backend wgpu --device {word} takes it")
}

/// The device that `device` names, of any kind.
pub(super) async fn named(device: &str) -> Result<Opened> {
    let adapters = Wgpu::adapters_async().await;
    let wanted = device.to_lowercase();
    // A number is never a part of a name: most names have digits.
    let found = match device.parse::<usize>() {
        Ok(index) => adapters.get(index),
        Err(_) => adapters.iter().find(|adapter| adapter.caps().device.to_lowercase().contains(&wanted)),
    };
    match found {
        Some(adapter) => take(adapter, &format!("named by {device:?}")).await,
        None => {
            let there = |(index, adapter): (usize, &Adapter)| {
                (format!("device {index}"), format!("{}, which {device:?} does not name", adapter.caps().device))
            };
            let mut reasons: Vec<_> = adapters.iter().enumerate().map(there).collect();
            if reasons.is_empty() {
                reasons.push(("wgpu".into(), format!("no driver offers a device, let alone {device:?}")));
            }
            Err(Error::NoBackend { reasons })
        }
    }
}

async fn take(adapter: &Adapter, why: &str) -> Result<Opened> {
    let backend: Arc<dyn Backend> = Arc::new(Wgpu::request(adapter, Restrict::default()).await?);
    Ok(opened(backend, why, Vec::new()))
}
