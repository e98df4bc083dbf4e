//! Devices that are lost, restricted, or not a GPU.

use std::sync::Arc;

use bimetal::{
    Backend, BackendChoice, Error,
    low_level::compute::{
        caps::DeviceKind,
        devices,
        pass::Pass,
        wgpu::{Restrict, Wgpu},
    },
};

use super::{kernels::shift, scaled, tensor};

#[test]
fn devices_are_named_by_number_and_by_part_of_their_name() {
    for entry in devices::devices().iter().filter(|entry| entry.caps.backend == "wgpu") {
        let (number, name) = (entry.index.unwrap().to_string(), entry.caps.device[..5].to_uppercase());
        for device in [&number, &name] {
            let opened = devices::open(BackendChoice::Wgpu, Some(device)).unwrap();
            assert_eq!(opened.backend.caps().device[..5], entry.caps.device[..5]);
        }
    }
}

/// Most names have digits, and a number is none of them.
#[test]
fn a_number_that_is_no_device_is_an_error() {
    let count = devices::devices().iter().filter(|entry| entry.caps.backend == "wgpu").count();
    for number in count..count + 10 {
        let refused = devices::open(BackendChoice::Wgpu, Some(&number.to_string()));
        assert!(matches!(refused, Err(Error::NoBackend { .. })), "device {number} of {count}");
    }
}

#[test]
fn software_is_not_taken_unasked() {
    let real = devices::devices()
        .iter()
        .any(|entry| matches!(entry.caps.kind, DeviceKind::Discrete | DeviceKind::Integrated | DeviceKind::Virtual));
    match devices::open(BackendChoice::Wgpu, None) {
        Ok(opened) => assert!(real && opened.backend.caps().kind != DeviceKind::Software),
        Err(Error::NoBackend { reasons }) => assert!(!real && !reasons.is_empty(), "{reasons:?}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn less_than_the_device_offers() {
    let Some(adapter) = Wgpu::adapters().into_iter().next() else { return };
    let caps = |restrict| Wgpu::open(&adapter, restrict).unwrap().caps().clone();
    assert!(!caps(Restrict::default().without_half()).half);
    assert_eq!(caps(Restrict::default().without_subgroup()).subgroup, None);
    let plain = caps(Restrict::webgpu());
    assert_eq!((plain.half, plain.subgroup, plain.max_binding), (false, None, 128 << 20));
    let small: Arc<dyn Backend> = Arc::new(Wgpu::open(&adapter, Restrict::webgpu().max_binding(1 << 16)).unwrap());
    assert_eq!(small.caps().max_binding, 1 << 16);
    small.alloc(1 << 16, "what fits").unwrap();
    let error = small.alloc((1 << 16) + 16, "what does not").unwrap_err().to_string();
    assert!(error.contains("what does not") && error.contains("65536"), "{error}");
}

#[test]
fn a_lost_device_is_an_error_everywhere() {
    let Some(adapter) = Wgpu::adapters().into_iter().next() else { return };
    let wgpu = Arc::new(Wgpu::open(&adapter, Restrict::default()).unwrap());
    let backend: Arc<dyn Backend> = wgpu.clone();
    let (x, mut y) = (tensor(&backend, &[1.0; 4]), tensor(&backend, &[0.0; 4]));
    let program = scaled(&backend, &x, &mut y, [2.0, 0.0]);
    backend.run(&program).unwrap();
    let under_way = x.buffer().read(0..16);
    wgpu.give_up();
    let lost = |error: Error| {
        println!("{error}");
        assert!(matches!(&error, Error::Device { what, .. } if what.contains("lost")), "{error}");
    };
    // Work already submitted may still finish.
    _ = pollster::block_on(under_way);
    for _ in 0..2 {
        lost(backend.run(&program).unwrap_err());
        lost(backend.wait().unwrap_err());
        lost(x.write(0, &[0.0_f32; 4]).unwrap_err());
        lost(pollster::block_on(x.buffer().read(0..16)).unwrap_err());
        lost(backend.alloc(16, "after the end").unwrap_err());
        let p = Pass::new(backend.caps());
        shift(&p, &x, &mut y, 1);
        lost(backend.load(p).err().unwrap());
    }
}
