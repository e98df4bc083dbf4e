//! The contract of every backend, independent of kernels.

#[cfg(feature = "wgpu")]
mod devices;
mod kernels;
mod opening;
#[cfg(feature = "wgpu")]
mod pipelines;
#[cfg(feature = "wgpu")]
mod submissions;

use std::{ops::Range, sync::Arc, thread};

use bimetal::{
    Backend, Error,
    low_level::compute::{
        cpu::Cpu,
        dtype::DType,
        pass::{Pass, Program},
        tensor::Tensor,
    },
};

use crate::support::backends::{Present, backends};
use kernels::{BROKEN, NO_SUCH_PART, SHIFT, scale, shift};

fn tensor(backend: &Arc<dyn Backend>, values: &[f32]) -> Tensor {
    Tensor::from_slice(backend, [1, values.len() as u32], DType::F32, "values", values).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let bytes = pollster::block_on(tensor.read(0..u64::from(tensor.rows() * tensor.width()))).unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

/// The backends that compile shaders.
fn compilers() -> impl Iterator<Item = Present> {
    backends().into_iter().filter(|(name, _)| *name != "cpu")
}

fn scaled(backend: &Arc<dyn Backend>, x: &Tensor, y: &mut Tensor, by: [f32; 2]) -> Program {
    let p = Pass::new(backend.caps());
    scale(&p, x, y, by);
    backend.load(p).unwrap()
}

#[test]
fn what_is_written_is_read() {
    for (name, backend) in backends() {
        for length in [4_usize, 12, 16, 100, 4 * 4099, (40 << 20) + 4] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
            let id = backend.alloc(length as u64, "bytes").unwrap();
            backend.write(id, 0, &bytes).unwrap();
            let read = |range: Range<usize>| pollster::block_on(backend.read(id, range.start as u64..range.end as u64));
            assert!(read(0..length).unwrap() == bytes, "{name}: {length}");
            assert_eq!(read(length - 4..length).unwrap(), bytes[length - 4..], "{name}: {length}");
            assert_eq!(read(length / 2 / 4 * 4..length).unwrap(), bytes[length / 2 / 4 * 4..], "{name}: {length}");
            backend.write(id, length as u64 - 4, &[1, 2, 3, 4]).unwrap();
            assert_eq!(read(length - 2..length).unwrap(), [3, 4], "{name}: half a word");
            assert!(read(0..0).unwrap().is_empty(), "{name}: nothing");
            backend.write(id, 0, &[]).unwrap();
            backend.free(id);
        }
    }
}

/// More dispatches than timestamps of one query set; each depends on the one before.
#[test]
fn dispatches_are_timed_one_by_one_and_do_what_they_do() {
    const DISPATCHES: usize = 2100;
    for (name, backend) in backends() {
        let [mut x, mut y] = [0.0, 0.0].map(|value| tensor(&backend, &[value; 4]));
        let p = Pass::new(backend.caps());
        for _ in 0..DISPATCHES / 2 {
            scale(&p, &x, &mut y, [1.0, 1.0]);
            scale(&p, &y, &mut x, [1.0, 1.0]);
        }
        let program = backend.load(p).unwrap();
        let times = backend.time(&program).unwrap();
        assert_eq!(values(&x), [DISPATCHES as f32; 4], "{name}");
        // Software Vulkan has timestamps, and so has every GPU that wgpu supports.
        let times = times.unwrap_or_else(|| panic!("{name} has no clock"));
        assert_eq!(times.len(), DISPATCHES, "{name}");
        let whole: f64 = times.iter().map(|time| time.as_secs_f64()).sum();
        assert!(whole > 0.0 && whole < 60.0, "{name}: {whole} s");
    }
}

#[test]
fn too_much_memory_is_an_error_with_its_label() {
    for (name, backend) in backends() {
        let error = backend.alloc(1 << 60, "the absurd").unwrap_err();
        assert!(
            matches!(&error, Error::OutOfMemory { label, bytes, .. } if label == "the absurd" && *bytes == 1 << 60)
        );
        println!("{name}: {error}");
        let x = tensor(&backend, &[0.0; 4]);
        assert_eq!(values(&x), [0.0; 4], "{name}: works after it");
    }
}

#[test]
fn too_much_scratch_is_an_error() {
    for (name, backend) in compilers() {
        let p = Pass::new(backend.caps());
        let x = tensor(&backend, &[0.0; 4]);
        shift(&p, &x, &mut p.scratch([1 << 20, 1 << 20], DType::F32), 0);
        assert!(matches!(backend.load(p), Err(Error::OutOfMemory { .. })), "{name}");
    }
}

#[test]
fn a_broken_shader_is_an_error_that_names_it() {
    for (name, backend) in compilers() {
        for (kernel, expected) in [(&BROKEN, "nonsense"), (&NO_SUCH_PART, "nowhere")] {
            let p = Pass::new(backend.caps());
            let mut y = tensor(&backend, &[0.0; 4]);
            p.dispatch(kernel).define("WIDTH", 7).write(&mut y).grid([1; 3]);
            let Err(Error::Shader { kernel: label, log }) = backend.load(p) else { panic!("{name}: {expected}") };
            assert_eq!(label, format!("{}[WIDTH=7]", kernel.name), "{name}");
            assert!(log.contains(expected), "{name}: {log}");
        }
    }
}

#[test]
fn a_grid_beyond_the_limits_is_an_error_that_names_its_kernel() {
    for (name, backend) in compilers() {
        let x = tensor(&backend, &[0.0; 4]);
        let mut y = tensor(&backend, &[0.0; 4]);
        let p = Pass::new(backend.caps());
        let dispatch = p.dispatch(&SHIFT).define("COUNT", 4).define("OFFSET", 0);
        dispatch.read(&x).write(&mut y).grid([1, 1 << 30, 1]);
        let Err(Error::Device { label, what }) = backend.load(p) else { panic!("{name}") };
        assert_eq!(label, "shift[COUNT=4 OFFSET=0]", "{name}: {what}");
    }
}

#[test]
fn a_program_is_replayed() {
    for (name, backend) in backends() {
        let mut x = tensor(&backend, &[1.0, 2.0, 3.0, 4.0]);
        let p = Pass::new(backend.caps());
        let mut middle = p.scratch([1, 4], DType::F32);
        scale(&p, &x, &mut middle, [2.0, 0.0]);
        scale(&p, &middle, &mut x, [1.0, 0.5]);
        drop(middle);
        let program = backend.load(p).unwrap();
        assert_eq!(program.scratch_bytes, 16, "{name}");
        backend.run(&program).unwrap();
        backend.run(&program).unwrap();
        assert_eq!(values(&x), [5.5, 9.5, 13.5, 17.5], "{name}");
    }
}

#[test]
fn programs_run_in_order() {
    for (name, backend) in backends() {
        let (x, mut y, mut z) = (tensor(&backend, &[1.0; 8]), tensor(&backend, &[0.0; 8]), tensor(&backend, &[0.0; 8]));
        let double = scaled(&backend, &x, &mut y, [2.0, 0.0]);
        let raise = scaled(&backend, &y, &mut z, [1.0, 1.0]);
        backend.run(&double).unwrap();
        backend.run(&raise).unwrap();
        backend.wait().unwrap();
        assert_eq!((values(&y), values(&z)), (vec![2.0; 8], vec![3.0; 8]), "{name}");
    }
}

#[test]
fn writes_runs_and_reads_keep_their_order() {
    for (name, backend) in backends() {
        let (x, mut y) = (tensor(&backend, &[1.0; 4]), tensor(&backend, &[0.0; 4]));
        let program = scaled(&backend, &x, &mut y, [10.0, 0.0]);
        let mut reads = Vec::new();
        for value in [1.0_f32, 2.0, 3.0] {
            x.write(0, &[value; 4]).unwrap();
            backend.run(&program).unwrap();
            reads.push(y.buffer().read(0..16));
        }
        x.write(0, &[9.0_f32; 4]).unwrap();
        // Await the reads late and in reverse order: each must hold the contents at its request.
        while let Some(read) = reads.pop() {
            let bytes = pollster::block_on(read).unwrap();
            assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes), [10.0 * (reads.len() + 1) as f32; 4], "{name}");
        }
    }
}

#[test]
fn a_program_keeps_its_buffers() {
    for (name, backend) in backends() {
        let (x, mut y) = (tensor(&backend, &[4.0; 4]), tensor(&backend, &[0.0; 4]));
        let program = scaled(&backend, &x, &mut y, [0.5, 0.0]);
        drop(x);
        let other = tensor(&backend, &[7.0; 4]);
        backend.run(&program).unwrap();
        // This read is never awaited.
        drop(y.buffer().read(0..16));
        assert_eq!((values(&y), values(&other)), (vec![2.0; 4], vec![7.0; 4]), "{name}");
    }
}

#[test]
fn dependent_dispatches_see_each_other() {
    const COUNT: usize = 1000;
    let mut backends = backends();
    backends.push(("cpu of 4 threads", Arc::new(Cpu::new(4))));
    for (name, backend) in backends {
        let first: Vec<f32> = (0..COUNT).map(|i| i as f32).collect();
        let (mut x, mut y) = (tensor(&backend, &first), tensor(&backend, &[0.0; COUNT]));
        let p = Pass::new(backend.caps());
        for round in 0..10 {
            shift(&p, &x, &mut y, 37 + round % 3);
            shift(&p, &y, &mut x, 500);
        }
        let program = backend.load(p).unwrap();
        assert_eq!(program.dispatches.iter().filter(|dispatch| dispatch.barrier).count(), 19, "{name}");
        for repetition in 1..=20_usize {
            backend.run(&program).unwrap();
            let moved = repetition * (0..10).map(|round| 537 + round % 3).sum::<usize>();
            let expected: Vec<f32> = (0..COUNT).map(|i| ((i + moved) % COUNT + 20 * repetition) as f32).collect();
            assert!(values(&x) == expected, "{name}: repetition {repetition}");
        }
    }
}

#[test]
fn every_float_type_is_read_and_written_alike() {
    let odd =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 65504.0, 65519.0, 1e6, -1e6, 0.0, -0.0, 6e-5, 1.0 / 3.0, -2.5];
    let plain = (0..116).map(|i| (i as f32 - 58.0) * 0.37);
    let singles: Vec<f32> = odd.into_iter().chain(plain).collect();
    let f16_words: Vec<u16> = singles.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
    let brains: Vec<u16> = singles.iter().map(|x| half::bf16::from_f32(*x).to_bits()).collect();
    for from in [DType::F32, DType::F16, DType::Bf16] {
        for to in [DType::F32, DType::F16] {
            let results = backends().into_iter().map(|(name, backend)| {
                let shape = [1, singles.len() as u32];
                let x = match from {
                    DType::F16 => Tensor::from_slice(&backend, shape, from, "x", &f16_words).unwrap(),
                    DType::Bf16 => Tensor::from_slice(&backend, shape, from, "x", &brains).unwrap(),
                    _ => tensor(&backend, &singles),
                };
                let mut y = Tensor::new(&backend, shape, to, "y").unwrap();
                let program = scaled(&backend, &x, &mut y, [1.0, 0.0]);
                backend.run(&program).unwrap();
                let bytes = pollster::block_on(y.read(0..singles.len() as u64)).unwrap();
                (name, floats(&bytes, to))
            });
            let results: Vec<_> = results.collect();
            for (name, found) in &results[1..] {
                for ((found, expected), x) in found.iter().zip(&results[0].1).zip(&singles) {
                    let same = found == expected || (found.is_nan() && expected.is_nan());
                    assert!(same, "{name}: {x} from {from} to {to}: {found}, not {expected}");
                }
            }
        }
    }
}

fn floats(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F16 => bytemuck::pod_collect_to_vec::<u8, half::f16>(bytes).iter().map(|x| x.to_f32()).collect(),
        _ => bytemuck::pod_collect_to_vec(bytes),
    }
}

#[test]
fn many_variants_and_parameters_in_one_program() {
    for (name, backend) in backends() {
        let sizes: Vec<usize> = (1..=12).map(|n| 4 * n * n).collect();
        let mut tensors: Vec<_> =
            sizes.iter().map(|&n| (tensor(&backend, &vec![1.0; n]), tensor(&backend, &vec![0.0; n]))).collect();
        let p = Pass::new(backend.caps());
        for (n, (x, y)) in (1_u8..).zip(&mut tensors) {
            scale(&p, x, y, [f32::from(n), f32::from(n % 3)]);
            shift(&p, y, x, 1);
        }
        backend.run(&backend.load(p).unwrap()).unwrap();
        for ((n, (x, _)), size) in (1_u8..).zip(&tensors).zip(&sizes) {
            assert_eq!(values(x), vec![f32::from(n) + f32::from(n % 3) + 1.0; *size], "{name}");
        }
    }
}

#[test]
fn threads_share_a_backend() {
    for (name, backend) in backends() {
        thread::scope(|scope| {
            for number in 0..4_u8 {
                let backend = &backend;
                scope.spawn(move || {
                    let (x, mut y) = (tensor(backend, &[0.0; 64]), tensor(backend, &[0.0; 64]));
                    let program = scaled(backend, &x, &mut y, [2.0, f32::from(number)]);
                    for round in 0..50_u8 {
                        x.write(0, &[f32::from(round); 64]).unwrap();
                        backend.run(&program).unwrap();
                        assert_eq!(values(&y), [f32::from(round) * 2.0 + f32::from(number); 64], "{name}");
                    }
                });
            }
        });
    }
}
