//! The sizes of weights, and the scratch memory of matrix products with them.

use std::sync::Arc;

use crate::{
    compute::caps::DequantizeFirst,
    kernels::operands::matrix::Matrix,
    model::qwen3_5::{Layer, Mixer, Weights},
    ops::matmul::dequantized_bytes,
};

impl Weights {
    pub(super) fn bytes(&self) -> u64 {
        let tied = Arc::ptr_eq(&self.embed, &self.head);
        let head = if tied { 0 } else { self.head.bytes() };
        self.embed.bytes() + head + self.norm.weight.bytes() + self.layers.iter().map(Layer::bytes).sum::<u64>()
    }

    pub(super) fn widest(&self) -> u64 {
        self.layers.iter().map(|layer| u64::from(layer.gate_up.rows().max(layer.projected()))).max().unwrap_or(0)
    }

    pub(super) fn dequantized_bytes(&self, [rows, outputs]: [u32; 2], limits: Option<DequantizeFirst>) -> u64 {
        let of_layers =
            self.layers.iter().flat_map(Layer::matrices).map(|matrix| dequantized_bytes(matrix, rows, limits));
        of_layers.max().unwrap_or(0).max(dequantized_bytes(&self.head, outputs, limits))
    }
}

impl Layer {
    fn matrices(&self) -> [&Matrix; 4] {
        let [projection, out] = match &self.mixer {
            Mixer::Attention(w) => [&w.qkv, &w.out],
            Mixer::DeltaNet(w) => [&w.qkvzba, &w.out],
        };
        [projection, out, &self.gate_up, &self.down]
    }

    fn projected(&self) -> u32 {
        match &self.mixer {
            Mixer::Attention(w) => w.qkv.rows(),
            Mixer::DeltaNet(w) => w.qkvzba.rows(),
        }
    }

    fn bytes(&self) -> u64 {
        let mixer = match &self.mixer {
            Mixer::Attention(w) => w.qkv.bytes() + w.out.bytes() + w.norm.weights.bytes(),
            Mixer::DeltaNet(w) => {
                let small = [&w.recurrence.conv, &w.recurrence.a_dt, &w.recurrence.norm.weight];
                w.qkvzba.bytes() + w.out.bytes() + small.iter().map(|tensor| tensor.bytes()).sum::<u64>()
            }
        };
        let norms = self.norm.weight.bytes() + self.mlp_norm.weight.bytes();
        mixer + norms + self.gate_up.bytes() + self.down.bytes()
    }
}
