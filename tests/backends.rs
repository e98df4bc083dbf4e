//! What every backend promises, whatever it runs.
#![allow(missing_docs, clippy::unwrap_used)]

mod present;

use std::sync::Arc;

use bimetal::{
    backend::Backend,
    cpu::Group,
    dtype::DType,
    pass::{Binding, Element, Kernel, Pass, Scalar, Source},
    tensor::Tensor,
};
use present::backends;

/// y\[i\] = factor · x\[i\] + bias: a kernel that the crate does not know.
static SCALE: Kernel = Kernel {
    name: "scale",
    bindings: &[Binding::read("x", Element::Float), Binding::write("y", Element::Float)],
    params: &[("factor", Scalar::F32(0.0)), ("bias", Scalar::F32(0.0))],
    library: &[],
    lanes: 32,
    source: Source {
        wgsl: "
            struct Params { factor: f32, bias: f32 }
            @group(0) @binding(0) var<storage, read> x: array<Quad_x>;
            @group(0) @binding(1) var<storage, read_write> y: array<Quad_y>;
            @group(0) @binding(2) var<uniform> params: Params;
            @compute @workgroup_size(LANES)
            fn scale(@builtin(global_invocation_id) id: vec3<u32>) {
                if id.x < COUNT / 4u {
                    y[id.x] = pack_y(params.factor * unpack_x(x[id.x]) + params.bias);
                }
            }",
        msl: None,
    },
    cpu: |g: &Group<'_>| {
        let range = g.at(0) * 128..((g.at(0) + 1) * 128).min(g.define("COUNT"));
        let x = g.floats(0, range.clone()).to_vec();
        let y: Vec<f32> = x.iter().map(|x| g.single("factor") * x + g.single("bias")).collect();
        g.store(1, range.start, &y);
    },
};

fn scale(p: &Pass, x: &Tensor, y: &mut Tensor, [factor, bias]: [f32; 2]) {
    let count = x.rows() * x.width();
    let launch = p.dispatch(&SCALE).define("COUNT", count).read(x).write(y);
    launch.param("factor", factor).param("bias", bias).grid([count.div_ceil(128), 1, 1]);
}

fn tensor(backend: &Arc<dyn Backend>, values: &[f32]) -> Tensor {
    Tensor::from_slice(backend, [1, values.len() as u32], DType::F32, "values", values).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let bytes = pollster::block_on(tensor.read(0..u64::from(tensor.rows() * tensor.width()))).unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

#[test]
fn a_program_is_replayed() {
    for (name, backend) in backends() {
        let x = tensor(&backend, &[1.0, 2.0, 3.0, 4.0]);
        let mut y = tensor(&backend, &[0.0; 4]);
        let p = Pass::new(backend.caps());
        let mut middle = p.scratch([1, 4], DType::F32);
        scale(&p, &x, &mut middle, [2.0, 0.0]);
        scale(&p, &middle, &mut y, [1.0, 0.5]);
        drop(middle);
        let program = backend.load(p).unwrap();
        backend.run(&program).unwrap();
        assert_eq!(values(&y), [2.5, 4.5, 6.5, 8.5], "{name}");
    }
}
