use bimetal::{backend::Backend, cpu::Cpu};
use std::sync::Arc;
pub fn backends() -> Vec<(&'static str, Arc<dyn Backend>)> {
    vec![("cpu", Arc::new(Cpu::default()) as Arc<dyn Backend>)]
}
