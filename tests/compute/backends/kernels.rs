//! Kernels outside the crate, as a user of the library may add them.

use bimetal::low_level::compute::{
    cost::Cost,
    kernel::{Binding, Element, Group, Kernel, Scalar, Source},
    pass::Pass,
    tensor::Tensor,
};

/// y\[i\] = factor · x\[i\] + bias: a kernel outside the crate.
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
        msl: Some(
            "
            struct Params { float factor; float bias; };
            kernel void scale(
                device const Quad_x* x [[buffer(0)]],
                device Quad_y* y [[buffer(1)]],
                constant Params& params [[buffer(2)]],
                uint3 id [[thread_position_in_grid]])
            {
                if (id.x < COUNT / 4) {
                    y[id.x] = pack<Quad_y>(params.factor * unpack(x[id.x]) + params.bias);
                }
            }",
        ),
        proven: false,
    },
    cpu: |g: &Group<'_>| {
        let range = g.at(0) * 128..((g.at(0) + 1) * 128).min(g.define("COUNT"));
        let x = g.floats("x", range.clone()).to_vec();
        let y: Vec<f32> = x.iter().map(|x| g.f32("factor") * x + g.f32("bias")).collect();
        g.store("y", range.start, &y);
    },
    cost: |_, _| Cost::default(),
};

pub fn scale(p: &Pass, x: &Tensor, y: &mut Tensor, [factor, bias]: [f32; 2]) {
    let count = x.rows() * x.width();
    let dispatch = p.dispatch(&SCALE).define("COUNT", count).read(x).write(y);
    dispatch.param("factor", factor).param("bias", bias).grid([count.div_ceil(128), 1, 1]);
}

/// y\[i\] = x\[(i + OFFSET) mod COUNT\] + 1
pub static SHIFT: Kernel = Kernel {
    name: "shift",
    bindings: &[Binding::read("x", Element::F32), Binding::write("y", Element::F32)],
    params: &[],
    library: &[],
    lanes: 32,
    source: Source {
        wgsl: "
            @group(0) @binding(0) var<storage, read> x: array<f32>;
            @group(0) @binding(1) var<storage, read_write> y: array<f32>;
            @compute @workgroup_size(LANES)
            fn shift(@builtin(global_invocation_id) id: vec3<u32>) {
                if id.x < COUNT {
                    y[id.x] = x[(id.x + OFFSET) % COUNT] + 1.0;
                }
            }",
        msl: Some(
            "
            kernel void shift(
                device const float* x [[buffer(0)]],
                device float* y [[buffer(1)]],
                uint3 id [[thread_position_in_grid]])
            {
                if (id.x < COUNT) {
                    y[id.x] = x[(id.x + OFFSET) % COUNT] + 1.0f;
                }
            }",
        ),
        proven: false,
    },
    cpu: |g: &Group<'_>| {
        let (count, offset) = (g.define("COUNT"), g.define("OFFSET"));
        let x = g.f32s("x", 0..count);
        for i in g.at(0) * 32..((g.at(0) + 1) * 32).min(count) {
            g.f32s_mut("y", i..i + 1)[0] = x[(i + offset) % count] + 1.0;
        }
    },
    cost: |_, _| Cost::default(),
};

pub fn shift(p: &Pass, x: &Tensor, y: &mut Tensor, offset: u32) {
    let count = x.rows() * x.width();
    let dispatch = p.dispatch(&SHIFT).define("COUNT", count).define("OFFSET", offset);
    dispatch.read(x).write(y).grid([count.div_ceil(32), 1, 1]);
}

pub static BROKEN: Kernel = Kernel {
    name: "broken",
    bindings: &[Binding::write("y", Element::F32)],
    params: &[],
    library: &[],
    lanes: 1,
    source: Source {
        wgsl: "@compute @workgroup_size(LANES) fn broken() { y[0] = nonsense(); }",
        msl: Some("kernel void broken(device float* y [[buffer(0)]]) { y[0] = nonsense(); }"),
        proven: false,
    },
    cpu: |_| {},
    cost: |_, _| Cost::default(),
};

pub static NO_SUCH_PART: Kernel = Kernel { name: "no_such_part", library: &["nowhere"], ..copy_of(&BROKEN) };

const fn copy_of(kernel: &Kernel) -> Kernel {
    let Kernel { name, bindings, params, library, lanes, source, cpu, cost } = *kernel;
    Kernel { name, bindings, params, library, lanes, source, cpu, cost }
}
