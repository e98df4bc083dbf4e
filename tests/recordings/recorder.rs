//! A device that computes nothing and records its work: programs, their bindings, words written and read.

use std::{
    collections::HashMap,
    fmt::Write,
    ops::Range,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use bimetal::{
    Backend, Result,
    low_level::compute::{
        caps::Caps,
        kernel::Dispatch,
        memory::{BufferId, Memory, Pending, Resource},
        pass::{Pass, Program},
    },
};

/// The device.
pub struct Recorder {
    caps: Caps,
    last: AtomicU32,
    log: Mutex<Log>,
}

/// A program of the run.
pub struct ProgramRun {
    /// Its dispatches. Their bindings are in `memory`.
    pub dispatches: Vec<Dispatch>,
    /// Sizes of scratch buffers, and one line per dispatch with its buffers.
    pub memory: String,
    /// The host's writes and reads since the program before. The last program of a step also has the reads after it.
    pub transfers: String,
}

#[derive(Default)]
struct Log {
    runs: Vec<ProgramRun>,
    transfers: String,
    /// Numbers of buffers, in order of first use: the order of allocation has no effect.
    numbers: HashMap<BufferId, usize>,
}

impl Log {
    fn number(&mut self, id: BufferId) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(id).or_insert(next)
    }

    fn bound(&mut self, resource: &Resource) -> String {
        match resource {
            Resource::Buffer(buffer) => format!("buffer {}", self.number(buffer.id())),
            Resource::Scratch(number) => format!("scratch {number}"),
        }
    }
}

impl Recorder {
    /// A device with these capabilities.
    pub fn new(caps: Caps) -> Self {
        Self { caps, last: AtomicU32::new(0), log: Mutex::default() }
    }

    /// The programs since the last call.
    pub fn take(&self) -> Vec<ProgramRun> {
        let log = &mut *self.log();
        let rest = std::mem::take(&mut log.transfers);
        if let Some(last) = log.runs.last_mut() {
            last.transfers.push_str(&rest);
        }
        std::mem::take(&mut log.runs)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }
}

impl Memory for Recorder {
    fn alloc(&self, _: u64, _: &str) -> Result<BufferId> {
        Ok(BufferId(self.last.fetch_add(1, Ordering::Relaxed)))
    }

    fn free(&self, _: BufferId) {}

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        let log = &mut *self.log();
        let words: Vec<u32> = bytemuck::allocation::pod_collect_to_vec(data);
        let number = log.number(id);
        writeln!(log.transfers, "write buffer {number} from byte {at}: {words:?}").unwrap();
        Ok(())
    }

    /// Zeros: id 0 is a token of every model.
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        let log = &mut *self.log();
        let number = log.number(id);
        writeln!(log.transfers, "read buffer {number}, bytes {} to {}", range.start, range.end).unwrap();
        Box::pin(async move { Ok(vec![0; (range.end - range.start) as usize]) })
    }
}

impl Backend for Recorder {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let recorded = pass.finish();
        let scratch = recorded.scratch.clone();
        Ok(Program::new(recorded, scratch))
    }

    fn run(&self, program: &Program) -> Result<()> {
        let log = &mut *self.log();
        let scratch = program.prepared::<Vec<u64>>();
        let mut memory = format!("scratch of {scratch:?} bytes\n");
        for dispatch in &program.dispatches {
            let bound: Vec<_> = dispatch.resources.iter().map(|resource| log.bound(resource)).collect();
            writeln!(memory, "{}: {}", dispatch.kernel.name, bound.join(", ")).unwrap();
        }
        // Without the buffers, which keep this device alive.
        let dispatches =
            program.dispatches.iter().map(|dispatch| Dispatch { resources: Vec::new(), ..dispatch.clone() });
        let transfers = std::mem::take(&mut log.transfers);
        log.runs.push(ProgramRun { dispatches: dispatches.collect(), memory, transfers });
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }
}
