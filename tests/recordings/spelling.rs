//! How dispatches and devices are written down. Only names that a shader sees appear: those of Rust may change.

use bimetal::low_level::compute::{
    caps::Caps,
    dtype::{DType, Packs},
    kernel::{Dispatch, Kernel},
};

/// One dispatch on one line, without what it binds.
pub fn dispatch_line(dispatch: &Dispatch) -> String {
    let Dispatch { kernel, lanes, grid: [x, y, z], barrier, .. } = dispatch;
    let params = kernel.params.iter().zip(&dispatch.params);
    let params: Vec<_> = params.map(|((name, _), word)| format!("{name}={word}")).collect();
    let (barrier, defines) = (if *barrier { "barrier" } else { "no barrier" }, define_list(dispatch));
    let (bindings, params) = (binding_list(dispatch, |_| true), params.join(" "));
    format!("{}; {defines}; {bindings}; {params}; {lanes} lanes; {x} x {y} x {z} groups; {barrier}\n", kernel.name)
}

/// The dispatch as far as its shader depends on it: of shapes, those that say where quantized weights lie.
pub fn shader_line(dispatch: &Dispatch) -> String {
    let bindings = binding_list(dispatch, DType::is_quantised);
    format!("{}; {bindings}; {} lanes", define_list(dispatch), dispatch.lanes)
}

fn define_list(dispatch: &Dispatch) -> String {
    let defines: Vec<_> = dispatch.defines.iter().map(|(name, value)| format!("{name}={value}")).collect();
    defines.join(" ")
}

/// Name and element type of each binding, with rows and width where the element type is a `shaped` one.
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

/// As users read it, and where two types are one word to users, more.
fn element_type(dtype: DType) -> String {
    match dtype {
        DType::Q8Heads => "q8_heads".into(),
        DType::Packed(Packs::Bytes) => "packed_bytes".into(),
        DType::Packed(Packs::Nibbles) => "packed_nibbles".into(),
        other => other.to_string(),
    }
}

/// What a kernel's texts may know of a device: half precision, the least subgroup, the edge of matrix units if it uses them.
pub fn device_features(caps: &Caps, kernel: &Kernel) -> String {
    let half = caps.half.then(|| "half".to_owned());
    let subgroup = caps.subgroup.map(|[least, _]| format!("subgroup{least}"));
    let edge = caps.matrix_units.filter(|_| kernel.library.contains(&"matrix"));
    let matrix = edge.map(|edge| format!("matrix{edge}"));
    let features: Vec<_> = [half, subgroup, matrix].into_iter().flatten().collect();
    if features.is_empty() { "least".into() } else { features.join("+") }
}
