//! Weights on a device with matrix units: f16, except those with values too large for it.

use std::{fs, ops::Range, sync::Arc};

use bimetal::{
    Backend, Checkpoint, Error, Model, Result,
    low_level::{
        compute::{
            caps::Caps,
            cpu::Cpu,
            dtype::DType,
            memory::{BufferId, Memory, Pending},
            pass::{Pass, Program},
        },
        kernels::operands::matrix::Matrix,
        model::{
            qwen3_5::{Layer, Mixer, Mlp},
            weights::Source,
        },
    },
};
use half::{bf16, f16};
use safetensors::SafeTensors;

use crate::{harness::weights, support::fixtures::fixture};

/// The cpu backend, with capabilities that claim matrix units.
struct Units(Cpu, Caps);

impl Memory for Units {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.0.alloc(bytes, label)
    }
    fn free(&self, id: BufferId) {
        self.0.free(id);
    }
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.0.write(id, at, data)
    }
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        self.0.read(id, range)
    }
}

impl Backend for Units {
    fn caps(&self) -> &Caps {
        &self.1
    }
    fn load(&self, pass: Pass) -> Result<Program> {
        self.0.load(pass)
    }
    fn run(&self, program: &Program) -> Result<()> {
        self.0.run(program)
    }
    fn wait(&self) -> Result<()> {
        self.0.wait()
    }
}

/// Index of the changed value.
const PLACE: usize = 33;

const Z: &str = "model.layers.0.linear_attn.in_proj_z.weight";

/// Loads a bf16 model after changing one value of one tensor.
fn load(name: &str, value: f32) -> Result<Model> {
    let dir = fixture("real-heads-bf16");
    let [config, mut bytes] = ["config.json", "model.safetensors"].map(|file| fs::read(dir.join(file)).unwrap());
    let at = {
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensor(name).unwrap().data().as_ptr().addr() - bytes.as_ptr().addr() + 2 * PLACE
    };
    bytes[at..at + 2].copy_from_slice(&bf16::from_f32(value).to_le_bytes());
    let checkpoint = Checkpoint::embedded(&config, bytes, &[]).unwrap();
    let caps = Caps { matrix_units: Some(16), ..Cpu::new(1).caps().clone() };
    let backend: Arc<dyn Backend> = Arc::new(Units(Cpu::new(1), caps));
    Model::load(&backend, &Source::Checkpoint(&checkpoint), DType::F16, &mut |_, _| {})
}

/// Type and rows of each part of a matrix, and all its values.
fn parts(matrix: &Matrix) -> (Vec<(DType, u32)>, Vec<f32>) {
    let tensors = || matrix.parts().iter().map(|part| &part.tensor);
    let values = tensors().flat_map(|tensor| {
        let bytes = pollster::block_on(tensor.read(0..u64::from(tensor.rows() * tensor.width()))).unwrap();
        let value = |bytes: [u8; 2]| match tensor.dtype() {
            DType::F16 => f16::from_le_bytes(bytes).to_f32(),
            _ => bf16::from_le_bytes(bytes).to_f32(),
        };
        bytes.as_chunks().0.iter().map(|bytes| value(*bytes)).collect::<Vec<_>>()
    });
    (tensors().map(|tensor| (tensor.dtype(), tensor.rows())).collect(), values.collect())
}

fn projections(layer: &Layer) -> &Matrix {
    match &layer.mixer {
        Mixer::DeltaNet(delta_net) => &delta_net.qkvzba,
        Mixer::Attention(attention) => &attention.qkv,
    }
}

#[test]
fn only_what_has_no_half_stays_wide() {
    let (plain, large) = (load(Z, 0.5).unwrap(), load(Z, 1e9).unwrap());
    let [(whole, expected), (split, found)] =
        [&plain, &large].map(|model| parts(projections(&weights(model).layers[0])));
    assert_eq!(whole, [(DType::F16, 512 + 256 + 2 + 2)]);
    assert_eq!(split, [(DType::F16, 512), (DType::Bf16, 256), (DType::F16, 4)]);
    let place = 512 * 64 + PLACE;
    assert_eq!((expected[place], found[place]), (0.5, bf16::from_f32(1e9).to_f32()));
    let small = |value: f32| value.abs() < 6.2e-5; // Halves have fewer digits there.
    let same = |(a, b): (&f32, &f32)| a == b || (small(*a) && small(*b));
    assert!(expected.iter().zip(&found).enumerate().all(|(at, pair)| at == place || same(pair)));
    for layer in &weights(&large).layers {
        let Mlp::Dense(mlp) = &layer.mlp;
        let (parts, _) = parts(&mlp.down);
        assert_eq!(parts, [(DType::F16, 64)], "nothing else is wide");
    }
}

#[test]
fn what_is_not_finite_is_told_with_its_place() {
    for name in [Z, "model.layers.2.self_attn.k_norm.weight", "model.norm.weight", "model.embed_tokens.weight"] {
        for value in [f32::NAN, f32::NEG_INFINITY] {
            let Err(Error::Tensor { name: told, got, .. }) = load(name, value) else { panic!("{name}") };
            assert_eq!(told, name);
            assert!(got.starts_with(&bf16::from_f32(value).to_string()), "{got}");
        }
    }
}
