//! Runs a few lines of the Metal Shading Language.

use std::fmt::Display;

use bimetal::low_level::compute::metal::{
    driver::{Driver, Shader},
    emulator::{Emulator, Order},
};
use bytemuck::{Pod, cast_slice};

/// A kernel and its dispatch.
pub struct Snippet {
    text: String,
    lanes: u32,
    groups: [u32; 3],
}

/// A kernel with this body, and with `parameters` between `out` and the built-in parameters.
pub fn snippet(parameters: &str, body: &str) -> Snippet {
    let mut text = String::from("#include <metal_stdlib>\n#include <metal_simdgroup_matrix>\nusing namespace metal;\n");
    text.push_str("kernel void snippet(device float* out [[buffer(0)]],");
    text.push_str(parameters);
    text.push_str("uint3 group [[threadgroup_position_in_grid]], uint lane [[thread_index_in_threadgroup]]) {\n");
    text.push_str(body);
    text.push_str("\n}\n");
    Snippet { text, lanes: 32, groups: [1; 3] }
}

/// A whole shader text with a kernel named `snippet`.
pub fn whole(text: impl Display) -> Snippet {
    Snippet { text: format!("#include <metal_stdlib>\nusing namespace metal;\n{text}"), lanes: 32, groups: [1; 3] }
}

impl Snippet {
    pub fn lanes(self, lanes: u32) -> Self {
        Self { lanes, ..self }
    }

    pub fn groups(self, groups: [u32; 3]) -> Self {
        Self { groups, ..self }
    }

    /// Runs it in one lane order, with `out` of `count` floats and these other buffers. Returns the floats, or the
    /// error.
    pub fn attempt(&self, order: Order, count: usize, buffers: &[&[u8]]) -> Result<Vec<f32>, String> {
        let emulator = Emulator::new(order).unwrap();
        let shader = Shader { name: "snippet", label: "snippet", text: &self.text, lanes: self.lanes };
        let pipeline = emulator.new_pipeline(&shader)?;
        let out = emulator.new_buffer(4 * count as u64, "out").unwrap();
        let mut commands = emulator.begin("snippet").unwrap();
        emulator.set_pipeline(&mut commands, &pipeline);
        emulator.set_buffer(&mut commands, 0, &out);
        for (at, bytes) in buffers.iter().enumerate() {
            emulator.set_bytes(&mut commands, at + 1, bytes);
        }
        emulator.dispatch(&mut commands, self.groups, self.lanes);
        let committed = emulator.commit(commands);
        match emulator.wait(&committed).error {
            Some(error) => Err(error),
            None => Ok(floats(&emulator, &out, count)),
        }
    }

    /// The floats of `out`, on which both lane orders must agree.
    pub fn run(&self, count: usize, buffers: &[&[u8]]) -> Vec<f32> {
        let both = [Order::Alternating, Order::Opposite].map(|order| self.attempt(order, count, buffers).unwrap());
        let [first, second] = &both;
        assert!(first.iter().zip(second).all(|(a, b)| a.to_bits() == b.to_bits()), "{first:?} and {second:?}");
        both.into_iter().next().unwrap()
    }

    /// The errors of both lane orders.
    pub fn refused(&self, count: usize, buffers: &[&[u8]]) -> [String; 2] {
        [Order::Alternating, Order::Opposite].map(|order| self.attempt(order, count, buffers).unwrap_err())
    }
}

/// The floats of a buffer that nothing writes any more.
#[allow(unsafe_code)]
fn floats(emulator: &Emulator, buffer: &<Emulator as Driver>::Buffer, count: usize) -> Vec<f32> {
    let start = emulator.contents(buffer).cast::<f32>();
    // SAFETY: the buffer has this many floats, and all work has ended.
    unsafe { std::slice::from_raw_parts(start.as_ptr(), count).to_vec() }
}

pub fn bytes<T: Pod>(values: &[T]) -> &[u8] {
    cast_slice(values)
}

/// An expression of `v` (1 to 32), `id` (0 to 31) or `w` (−3.9 in steps of ¼), and its expected value by lane.
pub type Wanted<'a> = (&'a str, fn(f32) -> f64);

/// Compares expressions, all in one kernel, with their expected values by lane: exactly, or within a share of the
/// value.
pub fn table(before: &str, wanted: &[Wanted<'_>], within: f64) {
    let prolog =
        "uint id = lane % 32u; float v = float(id) + 1.0f; float w = float(id) * 0.25f - 3.9f; (void)v; (void)w;";
    let line =
        |(at, (expression, _)): (usize, &Wanted<'_>)| format!("out[{} + lane] = float({expression});\n", 32 * at);
    let body = wanted.iter().enumerate().map(line).collect::<String>();
    let got = snippet("", &format!("{prolog}\n{before}\n{body}")).run(32 * wanted.len(), &[]);
    for ((expression, function), row) in wanted.iter().zip(got.chunks_exact(32)) {
        for (lane, found) in row.iter().enumerate() {
            let want = function(lane as f32);
            let same = (want.is_nan() && found.is_nan()) || want == f64::from(*found);
            let close = (want - f64::from(*found)).abs() <= within * want.abs().max(1e-3);
            assert!(same || close, "{expression} in lane {lane}: {found} for {want}");
        }
    }
}
