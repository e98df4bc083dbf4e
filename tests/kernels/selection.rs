//! The kernels of a test run: all, or the one in the variable `KERNEL`. `just kernel NAME` sets it.

use std::collections::BTreeSet;

use bimetal::low_level::{compute::kernel::Kernel, kernels::ALL};

/// # Panics
/// If `KERNEL` is not the name of a kernel.
pub fn kernels() -> Vec<&'static Kernel> {
    let Ok(name) = std::env::var("KERNEL") else { return ALL.to_vec() };
    let found: Vec<_> = ALL.iter().copied().filter(|kernel| kernel.name == name).collect();
    let known: Vec<_> = ALL.iter().map(|kernel| kernel.name).collect();
    assert!(!found.is_empty(), "no kernel is named {name}; there are {}", known.join(", "));
    found
}

#[test]
fn each_kernel_has_cases() {
    let lines = include_str!("main.rs").lines();
    let modules: BTreeSet<&str> =
        lines.filter_map(|line| line.strip_prefix("    pub mod ")?.strip_suffix(';')).collect();
    for kernel in kernels() {
        let name = kernel.name;
        assert!(
            modules.contains(name),
            "{name} has no cases: write tests/kernels/cases/{name}.rs and name it in main.rs"
        );
        let file = format!("{}/tests/kernels/cases/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::fs::read_to_string(&file).unwrap().contains("#[test]"), "{file} has no test");
    }
    let all: BTreeSet<&str> = ALL.iter().map(|kernel| kernel.name).collect();
    assert!(modules.is_subset(&all), "cases of no kernel: {:?}", modules.difference(&all));
}
