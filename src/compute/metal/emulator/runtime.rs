//! The C++ runtime, loaded: memory with guard pages, and execution of workgroups.
#![allow(unsafe_code)]

use std::{ffi::c_void, ptr::NonNull, sync::Arc};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

use super::{compile::Compiler, faults::Report};

/// The shader function that a lane starts with.
pub(super) type Entry = unsafe extern "C" fn(*const *mut c_void);

type Run =
    unsafe extern "C" fn(*mut c_void, Entry, *const *mut c_void, *const u32, u64, u32, bool, *mut Report) -> bool;

/// The functions of the runtime.
pub(super) struct Runtime {
    memory: Symbol<unsafe extern "C" fn(u64) -> *mut u8>,
    memory_ends: Symbol<unsafe extern "C" fn(*mut u8, u64)>,
    worker: Symbol<unsafe extern "C" fn() -> *mut c_void>,
    worker_ends: Symbol<unsafe extern "C" fn(*mut c_void)>,
    run: Symbol<Run>,
    /// Never unloaded, because shaders call into it.
    _library: Library,
}

impl Runtime {
    /// Compiles and loads the runtime.
    pub(super) fn load(compiler: &Compiler) -> Result<Arc<Self>, String> {
        let path = compiler.runtime()?;
        // SAFETY: the library was just compiled from our own text; its functions have these types.
        let loaded = unsafe {
            Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL).and_then(|library| {
                Ok(Self {
                    memory: library.get(b"emulator_memory\0")?,
                    memory_ends: library.get(b"emulator_memory_ends\0")?,
                    worker: library.get(b"emulator_worker\0")?,
                    worker_ends: library.get(b"emulator_worker_ends\0")?,
                    run: library.get(b"emulator_run\0")?,
                    _library: library,
                })
            })
        };
        loaded.map(Arc::new).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A buffer: memory full of NaN between two guard pages; its end touches the second one.
pub(super) struct Buffers {
    runtime: Arc<Runtime>,
    start: NonNull<u8>,
    bytes: u64,
}

// SAFETY: it is plain memory; its users order their accesses, as on a GPU.
unsafe impl Send for Buffers {}
// SAFETY: as above.
unsafe impl Sync for Buffers {}

impl Buffers {
    /// Allocates a buffer; `None` if memory is insufficient.
    pub(super) fn new(runtime: &Arc<Runtime>, bytes: u64) -> Option<Self> {
        // SAFETY: every size is valid.
        let start = NonNull::new(unsafe { (runtime.memory)(bytes) })?;
        Some(Self { runtime: runtime.clone(), start, bytes })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the memory came from the runtime with this size, and nobody uses it any more.
        unsafe { (self.runtime.memory_ends)(self.start.as_ptr(), self.bytes) }
    }
}

/// One thread's memory for the lanes of a workgroup.
pub(super) struct Worker {
    runtime: Arc<Runtime>,
    room: NonNull<c_void>,
}

/// The workgroups of one dispatch.
pub(super) struct Groups<'a> {
    pub(super) entry: Entry,
    pub(super) buffers: &'a [*mut c_void],
    pub(super) grid: [u32; 3],
    pub(super) lanes: u32,
}

// SAFETY: threads share buffers as on a GPU.
unsafe impl Sync for Groups<'_> {}

impl Worker {
    /// Allocates a worker; `None` if memory is insufficient.
    pub(super) fn new(runtime: &Arc<Runtime>) -> Option<Self> {
        // SAFETY: the function takes no arguments.
        let room = NonNull::new(unsafe { (runtime.worker)() })?;
        Some(Self { runtime: runtime.clone(), room })
    }

    /// Whether this worker belongs to that runtime.
    pub(super) fn is_of(&self, runtime: &Arc<Runtime>) -> bool {
        Arc::ptr_eq(&self.runtime, runtime)
    }

    /// Runs one workgroup, with its lanes in ascending or descending order.
    pub(super) fn run(&self, groups: &Groups<'_>, group: u64, reversed: bool) -> Result<(), Report> {
        let mut report = Report::default();
        let Groups { entry, buffers, grid, lanes } = groups;
        // SAFETY: the entry was compiled for these buffers, whose number was checked. Accesses beyond them hit a guard
        // page, which the runtime turns into a report.
        let went_well = unsafe {
            let (room, buffers, grid) = (self.room.as_ptr(), buffers.as_ptr(), grid.as_ptr());
            (self.runtime.run)(room, *entry, buffers, grid, group, *lanes, reversed, &raw mut report)
        };
        if went_well { Ok(()) } else { Err(report) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: the worker came from the runtime, and no workgroup runs in it.
        unsafe { (self.runtime.worker_ends)(self.room.as_ptr()) }
    }
}
