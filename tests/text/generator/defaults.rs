//! EngineOptions without a value: the device decides.

use std::{collections::BTreeSet, sync::Arc};

use bimetal::{
    Backend, EngineOptions, Generator, GeneratorOptions, Precision,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            dry_run::DryRun,
            dtype::DType,
        },
        model::built_in,
    },
};

/// The kernels of a prefill on a dry-run device, and the tokens of its step.
fn kernels(caps: Caps, options: GeneratorOptions) -> (BTreeSet<&'static str>, Vec<String>) {
    let device = Arc::new(DryRun::new(caps));
    let backend: Arc<dyn Backend> = device.clone();
    let mut g = Generator::new(&backend, &built_in::open().unwrap(), options, &mut |_, _| {}).unwrap();
    assert!(g.generate("Once upon a time").unwrap().next().unwrap().is_ok());
    let kernels = device.take().dispatches.iter().map(|dispatch| dispatch.kernel.name).collect();
    (kernels, g.engine().dispatches().into_iter().map(|(program, _)| program).collect())
}

const ON_MATRIX_UNITS: [&str; 4] = ["matmul_mma", "attend_mma", "gdn_chunk_solve", "gdn_chunk_state"];

#[test]
fn the_defaults_take_matrix_units_and_the_budget_of_the_device() {
    for (caps, budget) in [
        (Caps::typical("wgpu", DeviceKind::Discrete), 2048),
        (Caps::typical("wgpu", DeviceKind::Integrated), 512),
        (Caps::apple(), 512),
    ] {
        let device = caps.device.clone();
        let (kernels, programs) = kernels(caps, GeneratorOptions::default());
        for kernel in ON_MATRIX_UNITS {
            assert!(kernels.contains(kernel), "{device}: no {kernel} among {kernels:?}");
        }
        assert!(programs.contains(&format!("prompt of {budget}")), "{device}: {programs:?}");
    }
}

#[test]
fn a_device_without_matrix_units_computes_in_full_precision() {
    let caps = Caps { matrix_units: None, ..Caps::typical("wgpu", DeviceKind::Discrete) };
    assert_eq!(Precision::default().activations_on(&caps), DType::F32);
    let (kernels, programs) = kernels(caps, GeneratorOptions::default());
    assert!(ON_MATRIX_UNITS.iter().all(|kernel| !kernels.contains(kernel)), "{kernels:?}");
    assert!(programs.contains(&"prompt of 2048".to_string()), "{programs:?}");
}

#[test]
fn what_is_asked_for_wins() {
    let engine = EngineOptions { budget: Some(128), ..EngineOptions::default() };
    let options = GeneratorOptions { precision: DType::F32.into(), engine };
    let (kernels, programs) = kernels(Caps::typical("wgpu", DeviceKind::Discrete), options);
    assert!(ON_MATRIX_UNITS.iter().all(|kernel| !kernels.contains(kernel)), "{kernels:?}");
    assert!(programs.contains(&"prompt of 128".to_string()), "{programs:?}");
}

#[test]
fn a_generator_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Generator>();
}

#[test]
fn a_directory_opens_by_its_path() {
    let mut g = Generator::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories")).unwrap();
    assert!(g.generate("Once").unwrap().next().unwrap().is_ok());
    let error = Generator::open("/no/such/model").map(drop).unwrap_err().to_string();
    assert!(error.contains("/no/such/model"), "{error}");
}
