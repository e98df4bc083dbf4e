//! Metal without a Mac, for tests: clang compiles the shaders' own texts with a shim in place of Apple's headers, and
//! each lane is a fiber. [`crate::compute::devices`] never returns it.
//!
//! It is stricter than a GPU to reveal mistakes. Memory has guard pages and starts as NaN, all lanes must reach each
//! common call, and each run uses both lane orders. It cannot reveal races between workgroups, the behavior of Apple's
//! compiler, or speed.

mod compile;
mod entry;
mod faults;
mod kernel;
mod queue;
mod runtime;
mod tokens;
mod translate;

use std::{ptr::NonNull, sync::Arc};

use crate::compute::{
    caps::{Caps, DeviceKind, Tiles},
    metal::driver::{Driver, Outcome, Shader},
};
use compile::Compiler;
use kernel::Kernel;
use queue::{Binding, Queue, QueuedDispatch, Ticket};
use runtime::{Buffers, Runtime};

/// The order of the lanes of a workgroup, and of dispatches between two barriers.
///
/// A lane runs until it must wait for others. So in one of the two orders a missing barrier shows: lanes read before
/// later lanes write. Workgroups alternate, so one run sees both orders; the two variants differ in which order comes
/// first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Even workgroups run lanes first to last, odd ones last to first; dispatches run as recorded.
    #[default]
    Alternating,
    /// The opposite lane orders; workgroups run last to first, and dispatches between two barriers in reverse.
    Opposite,
}

/// The emulated device.
pub struct Emulator {
    caps: Caps,
    compiler: Compiler,
    runtime: Arc<Runtime>,
    queue: Queue,
    strict: bool,
}

impl Emulator {
    /// Starts an emulator.
    ///
    /// # Errors
    /// If there is no clang of version 16 or later, or it cannot compile the runtime.
    pub fn new(order: Order) -> Result<Self, String> {
        let compiler = Compiler::find()?;
        let runtime = Runtime::load(&compiler)?;
        let queue = Queue::new(runtime.clone(), order);
        Ok(Self { caps: caps(), compiler, runtime, queue, strict: true })
    }

    /// Accepts texts of other programs, without strict checks of address spaces.
    pub fn lenient(self) -> Self {
        Self { strict: false, ..self }
    }
}

/// The capabilities of a GPU of family Apple7.
fn caps() -> Caps {
    Caps {
        backend: "metal",
        device: "emulator".into(),
        driver: "clang and fibers".into(),
        kind: DeviceKind::Integrated,
        memory: Some(4 << 30),
        max_binding: 2 << 30,
        max_buffer: 2 << 30,
        group_memory: 32768,
        subgroup: Some([32, 32]),
        half: true,
        matrix_units: Some(8),
        packed_dots: false,
        lanes: 1024,
        tiles: Tiles::apple(),
    }
}

/// A command buffer under construction.
pub struct Commands {
    dispatches: Vec<QueuedDispatch>,
    kernel: Option<Arc<Kernel>>,
    bindings: Vec<Option<Binding>>,
    barrier: bool,
}

/// A buffer of the emulated device.
#[derive(Clone)]
pub struct Buffer(Arc<Buffers>);

/// A kernel compiled by clang.
#[derive(Clone)]
pub struct Pipeline(Arc<Kernel>);

/// A command buffer in flight.
pub struct Committed(Arc<Ticket>);

impl Driver for Emulator {
    type Buffer = Buffer;
    type Pipeline = Pipeline;
    type Commands = Commands;
    type Committed = Committed;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn new_buffer(&self, bytes: u64, _label: &str) -> Option<Buffer> {
        Buffers::new(&self.runtime, bytes).map(|memory| Buffer(Arc::new(memory)))
    }

    fn contents(&self, buffer: &Buffer) -> NonNull<u8> {
        buffer.0.start()
    }

    fn new_pipeline(&self, shader: &Shader<'_>) -> Result<Pipeline, String> {
        Kernel::new(&self.compiler, shader, self.strict).map(|kernel| Pipeline(Arc::new(kernel)))
    }

    fn begin(&self, _label: &str) -> Result<Commands, String> {
        Ok(Commands { dispatches: Vec::new(), kernel: None, bindings: Vec::new(), barrier: false })
    }

    fn set_pipeline(&self, commands: &mut Commands, pipeline: &Pipeline) {
        commands.kernel = Some(pipeline.0.clone());
    }

    fn set_buffer(&self, commands: &mut Commands, at: usize, buffer: &Buffer) {
        commands.bind(at, buffer.0.clone());
    }

    fn set_bytes(&self, commands: &mut Commands, at: usize, bytes: &[u8]) {
        // Guarded like every buffer; it lives as long as the binding.
        if let Some(memory) = Buffers::new(&self.runtime, bytes.len() as u64) {
            let memory = Arc::new(memory);
            queue::fill(&memory, bytes);
            commands.bind(at, memory);
        }
    }

    fn barrier(&self, commands: &mut Commands) {
        commands.barrier = true;
    }

    fn dispatch(&self, commands: &mut Commands, groups: [u32; 3], lanes: u32) {
        let (kernel, bindings) = (commands.kernel.clone(), commands.bindings.clone());
        let barrier = std::mem::take(&mut commands.barrier);
        commands.dispatches.push(QueuedDispatch { kernel, bindings, grid: groups, lanes, barrier });
    }

    fn commit(&self, commands: Commands) -> Committed {
        Committed(self.queue.commit(commands.dispatches))
    }

    fn wait(&self, committed: &Committed) -> Outcome {
        committed.0.wait()
    }
}

impl Commands {
    fn bind(&mut self, at: usize, binding: Binding) {
        if self.bindings.len() <= at {
            self.bindings.resize(at + 1, None);
        }
        self.bindings[at] = Some(binding);
    }
}
