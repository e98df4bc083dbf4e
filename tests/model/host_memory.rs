//! Loading makes no second copy of a checkpoint in host memory: the mapped file's pages pass through, tensor by tensor.
//! The test runs in its own process, since the system counts memory per process.

use std::{
    collections::HashMap,
    env,
    fs::{self, File},
    io::{BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bimetal::{
    Backend, Checkpoint, Model, Result,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cpu::Cpu,
            dtype::DType,
            memory::{BufferId, Memory, Pending},
            pass::{Pass, Program},
        },
        model::{checkpoint::expected, weights::Source},
    },
};
use serde_json::json;

use crate::support::fixtures::fixture;

const MEBI: u64 = 1 << 20;

/// A device with its own memory: written data does not stay in host memory.
struct Elsewhere {
    caps: Caps,
    bytes: Mutex<HashMap<BufferId, u64>>,
    written: AtomicU64,
}

impl Memory for Elsewhere {
    fn alloc(&self, bytes: u64, _: &str) -> Result<BufferId> {
        let buffers = &mut *self.bytes.lock().unwrap();
        let id = BufferId(buffers.len() as u32);
        buffers.insert(id, bytes);
        Ok(id)
    }

    fn free(&self, _: BufferId) {}

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        assert!(at + data.len() as u64 <= self.bytes.lock().unwrap()[&id]);
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn read(&self, _: BufferId, _: Range<u64>) -> Pending {
        unreachable!("loading reads nothing back")
    }
}

impl Backend for Elsewhere {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, _: Pass) -> Result<Program> {
        unreachable!("loading records nothing")
    }

    fn run(&self, _: &Program) -> Result<()> {
        unreachable!("loading runs nothing")
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }
}

/// One line of the system's statistics of this process, in bytes.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', '\t', ' ']).strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// Restarts the count of the peak if the system can; otherwise earlier peaks count too.
fn forget_peak() {
    _ = fs::write("/proc/self/clear_refs", "5");
}

/// A checkpoint that is deleted after the test.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A bf16 checkpoint of a few layers, written tensor by tensor. Returns its directory, its size on a device and its
/// largest tensor.
fn checkpoint() -> (Made, u64, u64) {
    let dir = env::temp_dir().join(format!("bimetal-host-memory-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let made = Made(dir);
    let original = fixture("tiny-tied-text-f32/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(original).unwrap()).unwrap();
    for (name, value) in [("hidden_size", 1024), ("intermediate_size", 4096), ("vocab_size", 32 << 10)] {
        config[name] = json!(value);
    }
    fs::write(made.0.join("config.json"), config.to_string()).unwrap();
    let config =
        bimetal::low_level::model::config::Config::parse(config.to_string().as_bytes(), Path::new("config.json"))
            .unwrap();
    let (mut header, mut end, mut largest, mut f32s) = (serde_json::Map::new(), 0, 0, 0);
    for tensor in expected(&config) {
        let bytes = 2 * tensor.shape.iter().product::<usize>() as u64;
        let entry = json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [end, end + bytes]});
        header.insert(format!("model.{}", tensor.name), entry);
        (end, largest) = (end + bytes, largest.max(bytes));
        let small = ["A_log", "dt_bias", "q_norm.weight", "k_norm.weight"];
        f32s += if small.iter().any(|name| tensor.name.ends_with(name)) { bytes } else { 0 };
    }
    let mut header = serde_json::Value::from(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = BufWriter::new(File::create(made.0.join("model.safetensors")).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    (0..end / 2).for_each(|i| file.write_all(&[i as u8, 0x3c]).unwrap());
    file.flush().unwrap();
    // Tensors in f32 take twice as much on a device.
    (made, end + f32s, largest)
}

/// Set only in the process that runs this test.
const ALONE: &str = "BIMETAL_TEST_ALONE";

/// Runs this binary again with one test.
fn run_alone(test: &str) {
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
    print!("{out}");
}

#[test]
fn loading_keeps_no_copy_on_the_host() {
    if env::var_os(ALONE).is_none() {
        return run_alone("host_memory::loading_keeps_no_copy_on_the_host");
    }
    let (made, size, largest) = checkpoint();
    let caps = Caps { kind: DeviceKind::Discrete, max_binding: 128 * MEBI, ..Cpu::new(1).caps().clone() };
    let device = Arc::new(Elsewhere { caps, bytes: Mutex::default(), written: AtomicU64::new(0) });
    let backend: Arc<dyn Backend> = device.clone();
    let checkpoint = Checkpoint::open(&made.0).unwrap();
    checkpoint.check().unwrap();
    forget_peak();
    let before = status("VmRSS");
    let model = Model::load(&backend, &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {}).unwrap();
    let (peak, after) = (status("VmHWM") - before, status("VmRSS").saturating_sub(before));
    let bytes = model.weights.bytes();
    assert_eq!(device.written.load(Ordering::Relaxed), bytes, "all of it was uploaded");
    // Small tensors that a kernel binds together are f32 on the device.
    assert!((size..size + 1024).contains(&bytes), "{bytes} of {size}");
    let [size, largest, peak, after] = [size, largest, peak, after].map(|bytes| bytes as f64 / MEBI as f64);
    println!("{size:.1} MiB, largest tensor {largest:.1} MiB: host peak {peak:.1} MiB, {after:.1} MiB afterwards");
    assert!(size > 150.0 && peak <= largest + 4.0, "{peak} MiB of {size} MiB were in memory at once");
    assert!(after <= 4.0, "{after} MiB stay in memory");
}
