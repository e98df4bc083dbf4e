//! Plants faults and checks that a case or the emulator detects them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bimetal::low_level::compute::metal::{
    Metal,
    emulator::{Emulator, Order},
};

use crate::{harness::instead, shader_override::ShaderOverride, support::backends::Present};

const BARRIER: &str = "threadgroup_barrier(mem_flags::mem_threadgroup);";

/// A change of a kernel's text: occurrence `nth` of `text`, counted from 0, becomes `replacement`.
#[derive(Clone, Copy)]
pub struct Fault {
    pub kernel: &'static str,
    pub text: &'static str,
    pub replacement: &'static str,
    pub nth: usize,
}

pub const fn fault(kernel: &'static str, text: &'static str, replacement: &'static str) -> Fault {
    Fault { kernel, text, replacement, nth: 0 }
}

pub const fn no_barrier(kernel: &'static str, nth: usize) -> Fault {
    Fault { kernel, text: BARRIER, replacement: "", nth }
}

/// Runs the cases unchanged, which must pass, and with each fault, which must fail. A fault that does not compile shows
/// nothing about the cases.
pub fn plant(faults: &[Fault], cases: &[fn()]) {
    assert!(!fails(None, cases), "the cases fail without a fault");
    let missed: Vec<_> = faults.iter().filter(|fault| !fails(Some(fault), cases)).map(Fault::name).collect();
    assert!(missed.is_empty(), "nothing catches {}", missed.join("; "));
}

/// Whether a case fails or the emulator reports an error with this fault.
fn fails(fault: Option<&Fault>, cases: &[fn()]) -> bool {
    let planted = Arc::new(AtomicBool::new(false));
    let (first, second) = (mutated(fault, &planted, Order::Alternating), mutated(fault, &planted, Order::Opposite));
    let refused = [first.refused(), second.refused()];
    let backends: Vec<Present> =
        vec![("mutated", Arc::new(Metal::new(first))), ("mutated, opposite", Arc::new(Metal::new(second)))];
    let failed = |label: &fn()| {
        let backends = backends.clone();
        catch_unwind(AssertUnwindSafe(|| instead(backends, label))).is_err()
    };
    let failed = cases.iter().any(failed);
    let name = fault.map(Fault::name).unwrap_or_default();
    assert!(fault.is_none() || planted.load(Ordering::Relaxed), "there is no place for {name}");
    for refused in &refused {
        assert_eq!(*refused.lock().unwrap(), None, "what does not compile is no fault: {name}");
    }
    failed
}

/// An emulator that plants the fault in its texts.
fn mutated(fault: Option<&Fault>, planted: &Arc<AtomicBool>, order: Order) -> ShaderOverride {
    let (planted, fault) = (planted.clone(), fault.copied());
    ShaderOverride::new(Emulator::new(order).unwrap(), move |shader| {
        let own = fault.filter(|fault| shader.name == fault.kernel);
        let place = own.and_then(|fault| Some((fault, shader.text.match_indices(fault.text).nth(fault.nth)?.0)));
        let whole = place.map(|(Fault { text, replacement, .. }, at)| {
            planted.store(true, Ordering::Relaxed);
            format!("{}{replacement}{}", &shader.text[..at], &shader.text[at + text.len()..])
        });
        (shader.name.to_owned(), whole.unwrap_or_else(|| shader.text.to_owned()))
    })
}

impl Fault {
    fn name(&self) -> String {
        format!("{}: `{}` for `{}` ({})", self.kernel, self.replacement, self.text, self.nth)
    }
}
