//! A driver that records its calls and computes as late as possible: a command buffer runs when somebody waits for it.
//! This reveals bytes that the executor moves too early or too late.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard},
};

use bimetal::low_level::compute::{
    caps::{Caps, DeviceKind},
    metal::driver::{Driver, Outcome, Shader},
};

/// An entry of a command buffer.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Pipeline(String),
    Buffer(usize, Words),
    Bytes(usize, Vec<u8>),
    Barrier,
    Dispatch([u32; 3], u32),
}

/// Memory: words that both device and host see.
#[derive(Clone)]
pub struct Words(Arc<Memory>);

struct Memory {
    start: NonNull<u8>,
    /// Owns the memory of `start`.
    _words: Mutex<Box<[u32]>>,
}

// SAFETY: the words do not move, and tests access them from one thread at a time.
#[allow(unsafe_code)]
unsafe impl Send for Memory {}
#[allow(unsafe_code)]
unsafe impl Sync for Memory {}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.start)
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Words {
    fn new(bytes: u64) -> Self {
        let mut words = vec![0_u32; bytes as usize / 4].into_boxed_slice();
        let start = NonNull::from(&mut words[0]).cast();
        Self(Arc::new(Memory { start, _words: Mutex::new(words) }))
    }

    #[allow(unsafe_code)]
    fn first(&self) -> u32 {
        // SAFETY: there is a word, and no reference to it.
        unsafe { self.0.start.cast::<u32>().read() }
    }

    #[allow(unsafe_code)]
    fn set_first(&self, word: u32) {
        // SAFETY: as above.
        unsafe { self.0.start.cast::<u32>().write(word) }
    }
}

/// The record of all calls.
#[derive(Default)]
pub struct DriverLog {
    /// Label and contents of each command buffer, in the order of commitment.
    pub committed: Vec<(String, Vec<Op>)>,
    /// Number of command buffers that have run.
    pub run: usize,
    /// Waits, as the number of the awaited command buffer, from 1.
    pub waits: Vec<usize>,
    /// Maximum number of command buffers committed but not yet run.
    pub max_in_flight: usize,
    /// The compiled shader texts.
    pub compiled: Vec<String>,
    /// Sizes of the allocated buffers in bytes.
    pub buffers: Vec<u64>,
    /// Each request to keep pipelines: the path, and the number of compiled pipelines so far.
    pub kept: Vec<(PathBuf, usize)>,
}

/// The programmed behavior of the driver.
#[derive(Default)]
pub struct Script {
    /// Errors of command buffers, by number.
    pub failures: HashMap<usize, String>,
    /// Seconds that a command buffer takes per dispatch.
    pub seconds: f64,
    /// The error when a command buffer begins.
    pub refuses: Option<String>,
    /// Largest buffer in bytes that can be allocated.
    pub largest: Option<u64>,
}

pub struct Recorder {
    caps: Caps,
    log: Arc<Mutex<DriverLog>>,
    script: Mutex<Script>,
}

impl Recorder {
    pub fn new(memory: Option<u64>) -> Self {
        let caps = Caps { memory, matrix_units: Some(8), ..Caps::typical("metal", DeviceKind::Integrated) };
        Self { caps, log: Arc::default(), script: Mutex::default() }
    }

    pub fn log(&self) -> MutexGuard<'_, DriverLog> {
        self.log.lock().unwrap()
    }

    /// The record, readable after the driver is gone.
    pub fn later(&self) -> Arc<Mutex<DriverLog>> {
        self.log.clone()
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn run_until(&self, number: usize) {
        let log = &mut *self.log();
        while log.run < number {
            run(&log.committed[log.run].1);
            log.run += 1;
        }
    }
}

/// Computes kernels named `add`: the first word of the second buffer becomes that of the first, plus the constant.
/// Other kernels do nothing.
fn run(ops: &[Op]) {
    let (mut bound, mut constant, mut adds) = (HashMap::new(), 0, false);
    for op in ops {
        match op {
            Op::Buffer(at, words) => drop(bound.insert(*at, words.clone())),
            Op::Bytes(_, bytes) => constant = u32::from_le_bytes(bytes[..4].try_into().unwrap()),
            Op::Pipeline(label) => adds = label.starts_with("add["),
            Op::Dispatch(..) if adds => bound[&1].set_first(bound[&0].first().wrapping_add(constant)),
            Op::Dispatch(..) | Op::Barrier => {}
        }
    }
}

impl Driver for Recorder {
    type Buffer = Words;
    type Pipeline = String;
    type Commands = (String, Vec<Op>);
    type Committed = usize;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn new_buffer(&self, bytes: u64, _: &str) -> Option<Words> {
        let fits = self.script().largest.is_none_or(|largest| bytes <= largest);
        self.log().buffers.push(bytes);
        fits.then(|| Words::new(bytes))
    }

    fn contents(&self, buffer: &Words) -> NonNull<u8> {
        buffer.0.start
    }

    fn new_pipeline(&self, shader: &Shader<'_>) -> Result<String, String> {
        self.log().compiled.push(shader.text.into());
        if shader.text.contains("nonsense") { Err("nonsense in line 1".into()) } else { Ok(shader.label.into()) }
    }

    fn begin(&self, label: &str) -> Result<Self::Commands, String> {
        self.script().refuses.clone().map_or_else(|| Ok((label.into(), Vec::new())), Err)
    }

    fn set_pipeline(&self, commands: &mut Self::Commands, pipeline: &String) {
        commands.1.push(Op::Pipeline(pipeline.clone()));
    }

    fn set_buffer(&self, commands: &mut Self::Commands, at: usize, buffer: &Words) {
        commands.1.push(Op::Buffer(at, buffer.clone()));
    }

    fn set_bytes(&self, commands: &mut Self::Commands, at: usize, bytes: &[u8]) {
        commands.1.push(Op::Bytes(at, bytes.to_vec()));
    }

    fn barrier(&self, commands: &mut Self::Commands) {
        commands.1.push(Op::Barrier);
    }

    fn dispatch(&self, commands: &mut Self::Commands, groups: [u32; 3], lanes: u32) {
        commands.1.push(Op::Dispatch(groups, lanes));
    }

    fn commit(&self, commands: Self::Commands) -> usize {
        let log = &mut *self.log();
        log.committed.push(commands);
        log.max_in_flight = log.max_in_flight.max(log.committed.len() - log.run);
        log.committed.len()
    }

    fn keep_pipelines(&self, directory: &Path, _: u64) {
        let log = &mut *self.log();
        log.kept.push((directory.into(), log.compiled.len()));
    }

    fn wait(&self, number: &usize) -> Outcome {
        self.run_until(*number);
        let log = &mut *self.log();
        log.waits.push(*number);
        let dispatches = log.committed[number - 1].1.iter().filter(|op| matches!(op, Op::Dispatch(..))).count();
        let script = self.script();
        Outcome { seconds: script.seconds * dispatches as f64, error: script.failures.get(number).cloned() }
    }
}
