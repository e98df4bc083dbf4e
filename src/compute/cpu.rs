//! The reference backend: runs every kernel's plain loop on the CPU. It is also the fallback of machines without a GPU.
//!
//! Each run starts one thread scope, whose threads share the workgroups of each dispatch. They wait for each other only at
//! the recording's barriers, so a missing barrier shows here too.

use std::{
    any::Any,
    collections::HashMap,
    num::NonZeroUsize,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use web_time::Instant;

use crate::{
    compute::{
        backend::Backend,
        caps::{Caps, DeviceKind, MatvecSizes, Tiles},
        kernel::{Dispatch, Group, host_memory::HostMemory},
        lock::lock,
        memory::{BufferId, Memory, Pending, Resource},
        pass::{Pass, Program},
    },
    error::{Error, Result},
};

/// The backend of the host's CPU cores.
pub struct Cpu {
    caps: Caps,
    threads: usize,
    buffers: Mutex<Buffers>,
}

#[derive(Default)]
struct Buffers {
    last: u32,
    by_id: HashMap<BufferId, Arc<HostMemory>>,
}

/// The memory of each binding of each dispatch.
struct Prepared(Vec<Vec<Arc<HostMemory>>>);

impl Default for Cpu {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }
}

impl Cpu {
    /// A backend with `threads` threads.
    pub fn new(threads: usize) -> Self {
        let caps = Caps {
            backend: "cpu",
            device: format!("{threads} threads"),
            driver: "plain loops".into(),
            kind: DeviceKind::Cpu,
            memory: host_memory_bytes(),
            max_binding: u64::MAX,
            max_buffer: u64::MAX,
            group_memory: u32::MAX,
            subgroup: None,
            half: false,
            matrix_units: None,
            packed_dots: false,
            lanes: 256,
            tiles: Tiles {
                matmul: [64, 16],
                matvec: MatvecSizes { lanes: 1, columns: 64, rows: 8, saturating_lanes: 1 },
                attend_splits: 1,
                scan_team: 8,
                state_fragments: 1,
                budget: 512,
                dequantize_first: None,
            },
        };
        Self { caps, threads: threads.max(1), buffers: Mutex::default() }
    }

    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        lock(&self.buffers)
    }

    fn run_all(&self, dispatches: &[Dispatch], memory: &[Vec<Arc<HostMemory>>]) -> Result<()> {
        let run = Run::new(dispatches, memory, self.threads);
        thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(|| run.work());
            }
            run.work();
        });
        run.outcome()
    }

    fn memory(&self, id: BufferId) -> Arc<HostMemory> {
        self.buffers().by_id.get(&id).expect("a buffer in use is never freed").clone()
    }
}

impl Memory for Cpu {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        let memory = Arc::new(HostMemory::new(bytes, label)?);
        let mut buffers = self.buffers();
        buffers.last += 1;
        let id = BufferId(buffers.last);
        buffers.by_id.insert(id, memory);
        Ok(id)
    }

    fn free(&self, id: BufferId) {
        self.buffers().by_id.remove(&id);
    }

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.memory(id).write(at, data);
        Ok(())
    }

    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        let bytes = self.memory(id).read(range);
        Box::pin(async { Ok(bytes) })
    }
}

impl Backend for Cpu {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let recorded = pass.finish();
        let new = |&bytes: &u64| HostMemory::new(bytes, "scratch").map(Arc::new);
        let scratch = recorded.scratch.iter().map(new).collect::<Result<Vec<_>>>()?;
        let place = |resource: &Resource| match resource {
            Resource::Buffer(buffer) => self.memory(buffer.id()),
            Resource::Scratch(number) => scratch[*number as usize].clone(),
        };
        let memory = recorded.dispatches.iter().map(|d| d.resources.iter().map(place).collect()).collect();
        Ok(Program::new(recorded, Prepared(memory)))
    }

    fn run(&self, program: &Program) -> Result<()> {
        let prepared = program.prepared::<Prepared>();
        self.run_all(&program.dispatches, &prepared.0)
    }

    fn time(&self, program: &Program) -> Result<Option<Vec<Duration>>> {
        let prepared = program.prepared::<Prepared>();
        let dispatches = program.dispatches.chunks(1).zip(prepared.0.chunks(1));
        let timed = dispatches.map(|(dispatch, memory)| {
            let started = Instant::now();
            self.run_all(dispatch, memory).map(|()| started.elapsed())
        });
        timed.collect::<Result<_>>().map(Some)
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }
}

/// One run of a program, shared by its threads.
struct Run<'a> {
    dispatches: &'a [Dispatch],
    memory: &'a [Vec<Arc<HostMemory>>],
    /// The next free workgroup of each dispatch.
    next: Vec<AtomicUsize>,
    meet: Barrier,
    failure: Mutex<Option<(String, String)>>,
}

impl<'a> Run<'a> {
    fn new(dispatches: &'a [Dispatch], memory: &'a [Vec<Arc<HostMemory>>], threads: usize) -> Self {
        let next = dispatches.iter().map(|_| AtomicUsize::new(0)).collect();
        Self { dispatches, memory, next, meet: Barrier::new(threads), failure: Mutex::default() }
    }

    fn work(&self) {
        for ((dispatch, memory), next) in self.dispatches.iter().zip(self.memory).zip(&self.next) {
            if dispatch.barrier {
                self.meet.wait();
            }
            // A panic must not leave the other threads waiting at the next barrier.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| share(dispatch, memory, next))) {
                lock(&self.failure).get_or_insert((dispatch.label(), message(&*panic)));
            }
        }
    }

    fn outcome(self) -> Result<()> {
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((label, what)) => Err(Error::Device { label, what }),
        }
    }
}

/// Takes the workgroups of a dispatch until all are done, several at a time in large grids.
fn share(dispatch: &Dispatch, memory: &[Arc<HostMemory>], next: &AtomicUsize) {
    let [width, height, depth] = dispatch.grid.map(|groups| groups as usize);
    let groups = width * height * depth;
    let portion = (groups / 64).max(1);
    loop {
        let first = next.fetch_add(portion, Ordering::Relaxed);
        if first >= groups {
            return;
        }
        for at in first..(first + portion).min(groups) {
            let id = [at % width, at / width % height, at / width / height].map(|part| part as u32);
            (dispatch.kernel.cpu)(&Group::new(id, dispatch, memory));
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic without a message").into()
}

/// Memory of this machine in bytes; `None` if the operating system does not report it.
fn host_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
