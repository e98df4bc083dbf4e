//! Compiled pipelines are kept in files, and a damaged file does no harm.

use std::{fs, path::Path, sync::Arc};

use bimetal::{
    Backend,
    low_level::compute::{
        pass::Pass,
        wgpu::{Adapter, Restrict, Wgpu},
    },
};
use tempfile::tempdir;

use super::{kernels::shift, scaled, tensor, values};

/// Opens a device with a pipeline directory, compiles and runs some kernels, and closes the device.
fn run(adapter: &Adapter, directory: &Path) {
    let backend: Arc<dyn Backend> = Arc::new(Wgpu::open(adapter, Restrict::default()).unwrap());
    backend.keep_pipelines(directory, 7);
    let (x, mut y, mut z) = (tensor(&backend, &[1.0; 4]), tensor(&backend, &[0.0; 4]), tensor(&backend, &[0.0; 4]));
    let program = scaled(&backend, &x, &mut y, [2.0, 0.5]);
    backend.run(&program).unwrap();
    let p = Pass::new(backend.caps());
    shift(&p, &y, &mut z, 1);
    backend.run(&backend.load(p).unwrap()).unwrap();
    assert_eq!(values(&z), [3.5; 4]);
}

/// The only file of a directory, where the driver keeps pipelines.
fn only(directory: &Path) -> Option<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).ok()?.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() <= 1, "{files:?}");
    files.pop()
}

#[test]
fn pipelines_are_kept_from_one_opening_to_the_next() {
    for adapter in Wgpu::adapters() {
        let made = tempdir().unwrap();
        let directory = made.path().join("pipelines");
        run(&adapter, &directory);
        let Some(file) = only(&directory) else {
            assert!(!adapter.features().contains(&"kept pipelines"), "{}", adapter.caps().device);
            continue;
        };
        let (first, written) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
        run(&adapter, &directory);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written, "nothing new was compiled");
        println!("{}: {} bytes", adapter.caps().device, first.len());
        for length in [0, 1, 20, first.len() / 2, first.len() - 1] {
            spoil(&adapter, &file, &first[..length]);
        }
        let noise = (0..first.len() as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8);
        spoil(&adapter, &file, &noise.collect::<Vec<_>>());
        spoil(&adapter, &file, &[&first[..], b"more"].concat());
    }
}

/// With any file contents the device works, and afterwards the file is whole.
fn spoil(adapter: &Adapter, file: &Path, bytes: &[u8]) {
    let directory = file.parent().unwrap();
    fs::write(file, bytes).unwrap();
    run(adapter, directory);
    assert_eq!(only(directory).as_deref(), Some(file));
    let (whole, written) = (fs::read(file).unwrap(), fs::metadata(file).unwrap().modified().unwrap());
    assert!(whole != bytes && whole.starts_with(b"bimetal\n"), "{} bytes were not replaced", bytes.len());
    run(adapter, directory);
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), written, "what replaced {} bytes is used", bytes.len());
}

#[test]
fn a_directory_that_cannot_be_written_is_no_error() {
    let made = tempdir().unwrap();
    let taken = made.path().join("taken");
    fs::write(&taken, "a file where the directory would be").unwrap();
    for adapter in Wgpu::adapters() {
        run(&adapter, &taken);
        run(&adapter, &taken.join("below"));
        run(&adapter, Path::new("/proc/nowhere"));
    }
    assert_eq!(fs::read(&taken).unwrap(), b"a file where the directory would be");
}
