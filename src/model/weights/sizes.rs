//! The sizes of weights, and the scratch memory of matrix products with them.

use std::sync::Arc;

use crate::{
    compute::{caps::DequantizeFirst, tensor::Tensor},
    kernels::operands::matrix::Matrix,
    model::qwen3_5::{Layer, Mixer, Mlp, Weights},
    ops::matmul::dequantized_bytes,
};

impl Weights {
    pub(super) fn bytes(&self) -> u64 {
        let tied = Arc::ptr_eq(&self.embed, &self.head);
        let head = if tied { 0 } else { self.head.bytes() };
        self.embed.bytes() + head + self.norm.weight.bytes() + self.layers.iter().map(Layer::bytes).sum::<u64>()
    }

    pub(super) fn widest(&self) -> u64 {
        self.layers.iter().map(|layer| u64::from(layer.widest())).max().unwrap_or(0)
    }

    pub(super) fn dequantized_bytes(&self, [rows, outputs]: [u32; 2], limits: Option<DequantizeFirst>) -> u64 {
        let of_layers =
            self.layers.iter().flat_map(Layer::matrices).map(|matrix| dequantized_bytes(matrix, rows, limits));
        of_layers.max().unwrap_or(0).max(dequantized_bytes(&self.head, outputs, limits))
    }
}

impl Layer {
    fn matrices(&self) -> [&Matrix; 4] {
        let Mlp::Dense(mlp) = &self.mlp;
        [self.projection(), self.mixer.out(), &mlp.gate_up, &mlp.down]
    }

    fn widest(&self) -> u32 {
        let Mlp::Dense(mlp) = &self.mlp;
        mlp.gate_up.rows().max(self.projection().rows())
    }

    fn projection(&self) -> &Matrix {
        match &self.mixer {
            Mixer::Attention(w) => &w.qkv,
            Mixer::DeltaNet(w) => &w.qkvzba,
        }
    }

    fn bytes(&self) -> u64 {
        let of_mixer = match &self.mixer {
            Mixer::Attention(w) => vec![&w.norm.weights],
            Mixer::DeltaNet(w) => vec![&w.recurrence.conv, &w.recurrence.a_dt, &w.recurrence.norm.weight],
        };
        let small = of_mixer.into_iter().chain([&self.norm.weight, &self.mlp_norm.weight]);
        self.matrices().iter().map(|matrix| matrix.bytes()).sum::<u64>() + small.map(Tensor::bytes).sum::<u64>()
    }
}
