//! One dispatch of a kernel, as plain data, and its cost.

use crate::compute::{
    cost::{Cost, Flops, Load, RowCount},
    dtype::DType,
    kernel::{Binding, Kernel},
    memory::Resource,
};

/// One dispatch of a kernel.
#[derive(Clone)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Compile-time constants, in the order given. With the element types they form the pipeline key.
    pub defines: Vec<(&'static str, u32)>,
    /// The resource of each binding.
    pub resources: Vec<Resource>,
    /// The element type of each binding.
    pub elements: Vec<DType>,
    /// Rows and width of the tensor at each binding.
    pub shapes: Vec<[u32; 2]>,
    /// Dispatch constants, one word each, in the order of [`Kernel::params`].
    pub params: Vec<u32>,
    /// Lanes of one workgroup.
    pub lanes: u32,
    /// Workgroups in each dimension.
    pub grid: [u32; 3],
    /// Whether all earlier dispatches must finish, with their writes visible, before this one starts.
    pub barrier: bool,
}

impl Dispatch {
    /// The value of a define.
    ///
    /// # Panics
    /// If the dispatch has no such define.
    pub fn define(&self, name: &str) -> u32 {
        self.find_define(name).unwrap_or_else(|| panic!("{}: no define {name}", self.kernel.name))
    }

    /// The value of a define; `None` if the dispatch has none of that name.
    pub fn find_define(&self, name: &str) -> Option<u32> {
        self.defines.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The bindings that the dispatch may write, with their resource and element type.
    pub fn written(&self) -> impl Iterator<Item = (&'static Binding, &Resource, DType)> {
        let bound = self.kernel.bindings.iter().zip(&self.resources).zip(&self.elements);
        bound
            .filter(|((binding, _), _)| binding.access.writes())
            .map(|((binding, resource), &dtype)| (binding, resource, dtype))
    }

    /// The kernel's name with its defines, for errors and traces.
    pub fn label(&self) -> String {
        let defines: Vec<_> = self.defines.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}[{}]", self.kernel.name, defines.join(" "))
    }
}

impl Dispatch {
    /// The roofline cost; zero without active rows.
    pub fn cost(&self, load: &Load) -> Cost {
        let counts_rows = self.defines.iter().any(|(name, _)| *name == "ROW_COUNT");
        if counts_rows && load.rows(self) == 0 {
            return Cost::default();
        }
        (self.kernel.cost)(self, load)
    }

    /// The value of a define, for cost formulas.
    pub fn size(&self, define: &str) -> u64 {
        u64::from(self.define(define))
    }

    /// The value of a dispatch constant, as a word.
    ///
    /// # Panics
    /// If the kernel has no such parameter.
    pub fn word(&self, param: &str) -> u64 {
        let at = self.kernel.params.iter().position(|(name, _)| *name == param);
        let word = at.and_then(|at| self.params.get(at));
        u64::from(*word.unwrap_or_else(|| panic!("{}: no parameter {param}", self.kernel.name)))
    }

    /// Bytes of this number of elements of a binding.
    pub fn bytes(&self, binding: &str, elements: u64) -> u64 {
        let (at, of) = (self.binding(binding), |[rows, width]: [u32; 2]| u64::from(rows) * u64::from(width));
        match self.elements[at].is_quantized() {
            // Scales count with their weights.
            true => self.elements[at].size(self.shapes[at]) * elements / of(self.shapes[at]).max(1),
            false => elements * self.elements[at].bytes(),
        }
    }

    /// Operations of a matrix product: `matrix` if both operands have at most 16 bits, else `vector`.
    pub fn product(&self, operands: [&str; 2], multiply_adds: u64) -> Flops {
        let half = operands.iter().all(|operand| self.elements[self.binding(operand)].is_narrow());
        let flops = 2 * multiply_adds;
        if half { Flops { matrix: flops, vector: 0 } } else { Flops { matrix: 0, vector: flops } }
    }

    fn binding(&self, name: &str) -> usize {
        let at = self.kernel.bindings.iter().position(|binding| binding.name == name);
        at.unwrap_or_else(|| panic!("{}: no binding {name}", self.kernel.name))
    }
}

impl Load {
    /// Number of active rows in the tensors of a dispatch.
    pub fn rows(&self, dispatch: &Dispatch) -> u64 {
        match dispatch.size("ROW_COUNT") {
            count if count == RowCount::Outputs as u64 => self.outputs(),
            _ => self.tokens(),
        }
    }
}
