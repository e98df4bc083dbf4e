//! The spelling of dispatches and devices. Only names that a shader sees appear: Rust names may change.

use bimetal::low_level::compute::{
    caps::Caps,
    dtype::{DType, Packs},
    kernel::{Dispatch, Kernel},
};

/// One dispatch on one line, without its buffers.
pub fn dispatch_line(dispatch: &Dispatch) -> String {
    let Dispatch { kernel, lanes, grid: [x, y, z], barrier, .. } = dispatch;
    let params = kernel.params.iter().zip(&dispatch.params);
    let params: Vec<_> = params.map(|((name, _), word)| format!("{name}={word}")).collect();
    let (barrier, defines) = (if *barrier { "barrier" } else { "no barrier" }, define_list(dispatch));
    let (bindings, params) = (binding_list(dispatch, |_| true), params.join(" "));
    format!("{}; {defines}; {bindings}; {params}; {lanes} lanes; {x} x {y} x {z} groups; {barrier}\n", kernel.name)
}

/// The parts of a dispatch that its shader depends on. Of the shapes, only those that place quantized weights.
pub fn shader_line(dispatch: &Dispatch) -> String {
    let bindings = binding_list(dispatch, DType::is_quantized);
    format!("{}; {bindings}; {} lanes", define_list(dispatch), dispatch.lanes)
}

fn define_list(dispatch: &Dispatch) -> String {
    let defines: Vec<_> = dispatch.defines.iter().map(|(name, value)| format!("{name}={value}")).collect();
    defines.join(" ")
}

/// Name and element type of each binding, with rows and width if the element type is `shaped`.
fn binding_list(dispatch: &Dispatch, shaped: fn(DType) -> bool) -> String {
    let bindings = dispatch.kernel.bindings.iter().zip(&dispatch.elements).zip(&dispatch.shapes);
    let bindings = bindings.map(|((binding, &dtype), [rows, width])| {
        let shape = if shaped(dtype) { format!(" {rows} x {width}") } else { String::new() };
        format!("{} {}{shape}", binding.name, element_type(dtype))
    });
    bindings.collect::<Vec<_>>().join(", ")
}

/// The element types of all bindings, in order.
pub fn element_types(dispatch: &Dispatch) -> String {
    dispatch.elements.iter().map(|dtype| element_type(*dtype)).collect::<Vec<_>>().join(".")
}

/// The spelling for users, made unique where two types have one name for users.
fn element_type(dtype: DType) -> String {
    match dtype {
        DType::Q8Heads => "q8_heads".into(),
        DType::Packed(Packs::Bytes) => "packed_bytes".into(),
        DType::Packed(Packs::Nibbles) => "packed_nibbles".into(),
        other => other.to_string(),
    }
}

/// The device features that a kernel's text may depend on: f16, the minimum subgroup, and the fragment size if it uses
/// matrix units.
pub fn device_features(caps: &Caps, kernel: &Kernel) -> String {
    let half = caps.half.then(|| "half".to_owned());
    let subgroup = caps.subgroup.map(|[min_subgroup, _]| format!("subgroup{min_subgroup}"));
    let fragment_size = caps.matrix_units.filter(|_| kernel.library.contains(&"matrix"));
    let matrix = fragment_size.map(|fragment_size| format!("matrix{fragment_size}"));
    let features: Vec<_> = [half, subgroup, matrix].into_iter().flatten().collect();
    if features.is_empty() { "least".into() } else { features.join("+") }
}
