//! A kernel of your own: y\[i\] = x\[i\] / (1 + |x\[i\]|), on every backend that there is.
//!
//! A kernel is a table of its bindings, its meaning as a plain loop, and its text in a shading language or two.

use std::sync::Arc;

use bimetal::{
    Backend, BackendChoice, Result,
    low_level::compute::{
        cost::Cost,
        devices::devices,
        dtype::DType,
        kernel::{Binding, Element, Group, Kernel, Source},
        pass::Pass,
        tensor::Tensor,
    },
    open,
};

/// Each group has 64 lanes and each lane computes four elements: float bindings are read and written by quads.
static SOFTSIGN: Kernel = Kernel {
    name: "softsign",
    bindings: &[Binding::read("x", Element::Float), Binding::write("y", Element::Float)],
    params: &[],
    library: &[],
    lanes: 64,
    source: Source { wgsl: WGSL, msl: Some(MSL), proven: false },
    cpu,
    cost: |_, _| Cost::default(),
};

/// What stands before it is made for each dispatch: the defines, here COUNT; LANES; and how the quads of x and y are
/// unpacked and packed, so that one text serves f32, f16 and bf16.
const WGSL: &str = "
    @group(0) @binding(0) var<storage, read> x: array<Quad_x>;
    @group(0) @binding(1) var<storage, read_write> y: array<Quad_y>;

    @compute @workgroup_size(LANES)
    fn softsign(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < COUNT / 4u {
            let value = unpack_x(x[id.x]);
            y[id.x] = pack_y(value / (1.0 + abs(value)));
        }
    }";

/// The same for the Metal backend, where `unpack` and `pack` know the types of quads.
const MSL: &str = "
    kernel void softsign(
        device const Quad_x* x [[buffer(0)]],
        device Quad_y* y [[buffer(1)]],
        uint3 id [[thread_position_in_grid]])
    {
        if (id.x < COUNT / 4) {
            const float4 value = unpack(x[id.x]);
            y[id.x] = pack<Quad_y>(value / (1.0f + abs(value)));
        }
    }";

/// One group's part as a plain loop: what every shader is tested against, and what runs where there is no GPU.
fn cpu(g: &Group<'_>) {
    let range = g.at(0) * 256..((g.at(0) + 1) * 256).min(g.define("COUNT"));
    let y: Vec<f32> = g.floats("x", range.clone()).to_vec().iter().map(|x| x / (1.0 + x.abs())).collect();
    g.store("y", range.start, &y);
}

/// The operation: gives the dispatch its shape and its tensors. The borrow checker sees to it that x and y are not one.
fn softsign(p: &Pass, x: &Tensor, y: &mut Tensor) {
    let count = x.width();
    p.dispatch(&SOFTSIGN).define("COUNT", count).read(x).write(y).grid([count.div_ceil(256), 1, 1]);
}

/// Records the operation twice, with memory in between that only the program has.
fn run(backend: &Arc<dyn Backend>, values: &[f32]) -> Result<Vec<f32>> {
    let shape = [1, values.len() as u32];
    let x = Tensor::from_slice(backend, shape, DType::F32, "x", values)?;
    let mut y = Tensor::new(backend, shape, DType::F32, "y")?;
    let p = Pass::new(backend.caps());
    let mut between = p.scratch(shape, DType::F32);
    softsign(&p, &x, &mut between);
    softsign(&p, &between, &mut y);
    backend.run(&backend.load(p)?)?;
    Ok(bytemuck::pod_collect_to_vec(&pollster::block_on(y.read(0..values.len() as u64))?))
}

/// Compares every device with the plain loop.
pub fn main() -> Result<()> {
    let values: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) / 50.0).collect();
    let expected = run(&open(BackendChoice::Cpu, None)?.backend, &values)?;
    for device in devices() {
        let index = device.index.map(|index| index.to_string());
        let choice = device.caps.backend.parse()?;
        let backend = open(choice, index.as_deref())?.backend;
        let found = run(&backend, &values)?;
        let error = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{}: largest error {error:.1e}", backend.caps().device);
        assert!(error <= 1e-6);
    }
    Ok(())
}
