//! Recordings: which kernels run on which buffers, as plain data.
//!
//! Recording touches no device and cannot fail. Operations assert shapes and name the kernel and argument. Memory
//! errors, compile errors and limit violations appear in [`crate::compute::backend::Backend::load`].

mod barrier;
mod recorded;

use std::{any::Any, cell::RefCell, marker::PhantomData};

use crate::compute::{
    caps::Caps,
    dtype::DType,
    kernel::{Dispatch, Element, Kernel, Scalar},
    memory::Resource,
    scratch::Scratch,
    tensor::Tensor,
};
use barrier::Hazards;
pub use recorded::{Mark, Recorded};

/// A recording: plain data, made without a device.
pub struct Pass {
    caps: Caps,
    scratch: Scratch,
    tape: RefCell<Tape>,
}

#[derive(Default)]
struct Tape {
    dispatches: Vec<Dispatch>,
    hazards: Hazards,
    marks: Vec<Mark>,
}

impl Pass {
    /// An empty recording for a backend with these capabilities.
    pub fn new(caps: &Caps) -> Self {
        Self { caps: caps.clone(), scratch: Scratch::default(), tape: RefCell::default() }
    }

    /// Records dispatches of another recording again, with their barriers: all of them, or some, to inspect their
    /// results.
    ///
    /// # Panics
    /// If a dispatch uses scratch memory. [`Recorded::on_buffers`] replaces scratch memory by buffers.
    pub fn replay(caps: &Caps, dispatches: &[Dispatch]) -> Self {
        let owned = |resource: &Resource| matches!(resource, Resource::Buffer(_));
        assert!(dispatches.iter().all(|d| d.resources.iter().all(owned)), "replay: a dispatch uses scratch memory");
        let pass = Self::new(caps);
        pass.tape.borrow_mut().dispatches = dispatches.to_vec();
        pass
    }

    /// The backend's capabilities.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// A tensor for intermediate results of this recording. Dropping it frees its memory for later tensors.
    pub fn scratch(&self, shape: [u32; 2], dtype: DType) -> Tensor {
        Tensor::scratch(&self.scratch, shape, dtype, Scratch::take)
    }

    /// A short-lived tensor in scratch memory that tensors of many sizes reuse. The memory is as large as the largest
    /// of them.
    pub fn shared_scratch(&self, shape: [u32; 2], dtype: DType) -> Tensor {
        Tensor::scratch(&self.scratch, shape, dtype, Scratch::take_growing)
    }

    /// Starts a dispatch of `kernel`; [`Builder::grid`] completes it.
    pub fn dispatch<'a>(&'a self, kernel: &'static Kernel) -> Builder<'a> {
        let dispatch = Dispatch {
            kernel,
            defines: Vec::new(),
            resources: Vec::new(),
            elements: Vec::new(),
            shapes: Vec::new(),
            params: Vec::new(),
            lanes: kernel.lanes,
            grid: [1; 3],
            barrier: false,
        };
        Builder { pass: self, dispatch, tensors: PhantomData }
    }

    /// Names a tensor's contents at this point of the recording.
    pub fn mark(&self, name: impl Into<String>, tensor: &Tensor) {
        let tape = &mut *self.tape.borrow_mut();
        tape.marks.push(Mark {
            name: name.into(),
            after: tape.dispatches.len(),
            resource: tensor.resource(),
            shape: [tensor.rows(), tensor.width()],
            dtype: tensor.dtype(),
        });
    }

    /// Finishes the recording.
    pub fn finish(self) -> Recorded {
        let tape = self.tape.into_inner();
        Recorded { dispatches: tape.dispatches, scratch: self.scratch.sizes(), marks: tape.marks }
    }
}

/// A dispatch under construction.
///
/// The lifetime ties the dispatch to its tensors, so binding one tensor for reading and for writing does not compile:
///
/// ```
/// # use bimetal::low_level::{compute::{pass::Pass, tensor::Tensor}, kernels::gather_rows::KERNEL};
/// fn distinct(p: &Pass, x: &Tensor, y: &mut Tensor, step: &Tensor) {
///     p.dispatch(&KERNEL).read(step).read(x).write(y).grid([1; 3]);
/// }
/// ```
/// ```compile_fail,E0502
/// # use bimetal::low_level::{compute::{pass::Pass, tensor::Tensor}, kernels::gather_rows::KERNEL};
/// fn aliased(p: &Pass, x: &mut Tensor, step: &Tensor) {
///     p.dispatch(&KERNEL).read(step).read(x).write(x).grid([1; 3]);
/// }
/// ```
pub struct Builder<'a> {
    pass: &'a Pass,
    dispatch: Dispatch,
    tensors: PhantomData<&'a mut Tensor>,
}

impl<'a> Builder<'a> {
    /// Sets a compile-time constant of the shader.
    pub fn define(mut self, name: &'static str, value: u32) -> Self {
        self.dispatch.defines.push((name, value));
        self
    }

    /// Binds the next binding for reading.
    ///
    /// # Panics
    /// If the kernel does not read this binding, or the binding does not accept the tensor's type.
    pub fn read(self, tensor: &'a Tensor) -> Self {
        self.bind(tensor, false)
    }

    /// Binds the next binding for writing.
    ///
    /// # Panics
    /// If the kernel does not write this binding, or the binding does not accept the tensor's type.
    pub fn write(self, tensor: &'a mut Tensor) -> Self {
        self.bind(tensor, true)
    }

    /// Binds the next binding for writing, for a tensor with other owners. No other binding of this dispatch may use
    /// it.
    pub(crate) fn write_shared(self, tensor: &'a Tensor) -> Self {
        self.bind(tensor, true)
    }

    /// Sets the next dispatch constant, by name.
    ///
    /// # Panics
    /// If the kernel's next dispatch constant has another name or type.
    pub fn param(mut self, name: &str, value: impl Into<Scalar>) -> Self {
        let (kernel, value) = (self.dispatch.kernel, value.into());
        let expected = kernel.params.get(self.dispatch.params.len());
        let fits = expected.is_some_and(|(known, like)| *known == name && like.same_kind(value));
        assert!(fits, "{}: parameter {name} is not {expected:?}", kernel.name);
        self.dispatch.params.push(value.bits());
        self
    }

    /// Sets the lanes of one workgroup; the default is the kernel's own number.
    pub fn lanes(mut self, lanes: u32) -> Self {
        self.dispatch.lanes = lanes;
        self
    }

    /// Completes the dispatch with its number of workgroups in each dimension.
    ///
    /// # Panics
    /// If a binding or a dispatch constant is missing, or the grid is empty.
    pub fn grid(self, grid: [u32; 3]) {
        let Builder { pass, mut dispatch, .. } = self;
        let kernel = dispatch.kernel;
        assert_eq!(dispatch.resources.len(), kernel.bindings.len(), "{}: bindings", kernel.name);
        assert_eq!(dispatch.params.len(), kernel.params.len(), "{}: parameters", kernel.name);
        assert!(grid.iter().all(|&groups| groups > 0), "{}: empty grid {grid:?}", kernel.name);
        dispatch.grid = grid;
        let tape = &mut *pass.tape.borrow_mut();
        dispatch.barrier = tape.hazards.barrier(&dispatch);
        tape.dispatches.push(dispatch);
    }

    fn bind(mut self, tensor: &Tensor, writes: bool) -> Self {
        let (kernel, at) = (self.dispatch.kernel, self.dispatch.resources.len());
        let Some(binding) = kernel.bindings.get(at) else { panic!("{}: more than {at} bindings", kernel.name) };
        assert_eq!(binding.access.writes(), writes, "{}: access of {}", kernel.name, binding.name);
        let written =
            !tensor.dtype().is_quantized() || matches!(binding.element, Element::KvRows | Element::Activations);
        assert!(!writes || written, "{}: no kernel writes {}", kernel.name, tensor.dtype());
        assert!(binding.element.accepts(tensor.dtype()), "{}: {} of {}", kernel.name, binding.name, tensor.dtype());
        let whole = match binding.element {
            Element::Vec16B => tensor.width().is_multiple_of(4 * self.dispatch.define("WIDE")),
            Element::Float | Element::F16 | Element::MatrixOperand | Element::KvRows | Element::Activations => {
                tensor.rows() == 1 || tensor.width().is_multiple_of(4)
            }
            Element::F32 | Element::U32 => true,
        };
        assert!(whole, "{}: row width of {} is not a multiple of the vector width", kernel.name, binding.name);
        self.dispatch.resources.push(tensor.resource());
        self.dispatch.elements.push(tensor.dtype());
        self.dispatch.shapes.push([tensor.rows(), tensor.width()]);
        self
    }
}

/// A recording that a backend has prepared.
pub struct Program {
    /// The dispatches; they keep the buffers alive.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of scratch memory that the program holds.
    pub scratch_bytes: u64,
    prepared: Box<dyn Any + Send + Sync>,
}

impl Program {
    /// A recording with the backend's prepared objects: pipelines, scratch buffers, bind groups.
    pub fn new(recorded: Recorded, prepared: impl Any + Send + Sync) -> Self {
        let scratch_bytes = recorded.scratch.iter().sum();
        Self { dispatches: recorded.dispatches, scratch_bytes, prepared: Box::new(prepared) }
    }

    /// The backend's prepared objects.
    ///
    /// # Panics
    /// If the program belongs to another backend.
    pub fn prepared<T: 'static>(&self) -> &T {
        self.prepared.downcast_ref().expect("a program of this backend")
    }
}
