//! Recordings as plain data: barriers and scratch memory, without any backend.

use std::{any::Any, panic::catch_unwind, sync::Arc};

use bimetal::{
    Backend,
    low_level::compute::{
        cost::Cost,
        cpu::Cpu,
        dtype::DType,
        kernel::{Binding, Element, Kernel, Scalar, Source},
        memory::Resource,
        pass::Pass,
        tensor::Tensor,
    },
};

static COPY: Kernel = Kernel {
    name: "copy",
    bindings: &[Binding::read("x", Element::F32), Binding::write("y", Element::F32)],
    params: &[],
    library: &[],
    lanes: 1,
    source: Source { wgsl: "", msl: None, proven: false },
    cpu: |_| {},
    cost: |_, _| Cost::default(),
};

static BUMP: Kernel = Kernel {
    name: "bump",
    bindings: &[Binding::update("x", Element::F32)],
    params: &[("by", Scalar::U32(0))],
    library: &[],
    lanes: 1,
    source: Source { wgsl: "", msl: None, proven: false },
    cpu: |_| {},
    cost: |_, _| Cost::default(),
};

fn copy(p: &Pass, x: &Tensor, y: &mut Tensor) {
    p.dispatch(&COPY).read(x).write(y).grid([1; 3]);
}

fn bump(p: &Pass, x: &mut Tensor) {
    p.dispatch(&BUMP).write(x).param("by", 1_u32).grid([1; 3]);
}

fn pass() -> Pass {
    Pass::new(Cpu::new(1).caps())
}

fn barriers(p: Pass) -> Vec<bool> {
    p.finish().dispatches.iter().map(|dispatch| dispatch.barrier).collect()
}

fn scratch<const N: usize>(p: &Pass) -> [Tensor; N] {
    std::array::from_fn(|_| p.scratch([1, 4], DType::F32))
}

#[test]
fn reading_what_was_written_waits() {
    let p = pass();
    let [a, mut b, mut c] = scratch(&p);
    copy(&p, &a, &mut b);
    copy(&p, &b, &mut c);
    drop((a, b, c));
    assert_eq!(barriers(p), [false, true]);
}

#[test]
fn writing_what_was_written_waits() {
    let p = pass();
    let [a, b, mut c] = scratch(&p);
    copy(&p, &a, &mut c);
    copy(&p, &b, &mut c);
    bump(&p, &mut c);
    assert_eq!(barriers(p), [false, true, true]);
}

#[test]
fn writing_what_was_read_waits() {
    let p = pass();
    let [mut a, b, mut c] = scratch(&p);
    copy(&p, &a, &mut c);
    copy(&p, &b, &mut a);
    assert_eq!(barriers(p), [false, true]);
}

#[test]
fn independent_dispatches_do_not_wait() {
    let p = pass();
    let [a, mut b, mut c, mut d] = scratch(&p);
    copy(&p, &a, &mut b);
    copy(&p, &a, &mut c);
    bump(&p, &mut d);
    assert_eq!(barriers(p), [false, false, false]);
}

#[test]
fn one_barrier_covers_everything_before_it() {
    let p = pass();
    let [a, mut b, mut c, mut d, mut e] = scratch(&p);
    copy(&p, &a, &mut b);
    copy(&p, &a, &mut c);
    copy(&p, &b, &mut d);
    copy(&p, &c, &mut e);
    bump(&p, &mut d);
    assert_eq!(barriers(p), [false, false, true, false, true]);
}

#[test]
fn device_buffers_are_told_apart_by_buffer_and_not_by_tensor() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::new(1));
    let a = Tensor::new(&backend, [1, 4], DType::F32, "a").unwrap();
    let mut b = Tensor::new(&backend, [1, 4], DType::F32, "b").unwrap();
    let again = Tensor::over(b.buffer().clone(), [2, 2], DType::F32);
    let mut c = Tensor::new(&backend, [1, 4], DType::F32, "c").unwrap();
    let p = pass();
    copy(&p, &a, &mut b);
    copy(&p, &again, &mut c);
    assert_eq!(barriers(p), [false, true]);
}

#[test]
fn dropped_scratch_is_lent_again_to_its_own_size() {
    let p = pass();
    let mut x = p.scratch([1, 64], DType::F32);
    for _ in 0..3 {
        let mut wide = p.scratch([4, 64], DType::F32);
        let mut y = p.scratch([1, 64], DType::F32);
        copy(&p, &x, &mut wide);
        copy(&p, &wide, &mut y);
        copy(&p, &y, &mut x);
    }
    drop(x);
    let recorded = p.finish();
    assert_eq!(recorded.scratch, [256, 1024, 256]);
    // Each dispatch reads the output of the one before it, in scratch memory or not.
    let waits: Vec<_> = recorded.dispatches.iter().map(|dispatch| dispatch.barrier).collect();
    assert_eq!(waits, [false, true, true, true, true, true, true, true, true]);
}

#[test]
fn scratch_that_lives_is_not_lent() {
    let p = pass();
    let [mut a, mut b] = scratch(&p);
    bump(&p, &mut a);
    bump(&p, &mut b);
    let recorded = p.finish();
    let number = |at: usize| match recorded.dispatches[at].resources[0] {
        Resource::Scratch(number) => number,
        Resource::Buffer(_) => panic!("scratch lives in no buffer"),
    };
    assert_ne!(number(0), number(1));
    drop((a, b));
}

#[test]
fn sizes_of_scratch_are_rounded_up() {
    let p = pass();
    drop(p.scratch([1, 1], DType::F16));
    drop(p.scratch([3, 3], DType::F32));
    assert_eq!(p.finish().scratch, [16, 48]);
}

#[test]
fn marks_say_after_which_dispatch() {
    let p = pass();
    let [mut a] = scratch(&p);
    p.mark("before", &a);
    bump(&p, &mut a);
    p.mark("after", &a);
    let marks = p.finish().marks;
    assert_eq!(
        marks.iter().map(|mark| (mark.name.as_str(), mark.after)).collect::<Vec<_>>(),
        [("before", 0), ("after", 1)]
    );
}

/// The panic message of a wrong dispatch.
fn complaint(record: fn(&Pass)) -> String {
    let panic: Box<dyn Any + Send> = catch_unwind(|| record(&pass())).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn wrong_dispatches_name_kernel_and_argument() {
    type Wrong = (fn(&Pass), &'static str);
    let wrong: [Wrong; 6] = [
        (|p| p.dispatch(&COPY).read(&p.scratch([1, 1], DType::F16)).grid([1; 3]), "copy: x of f16"),
        (|p| p.dispatch(&COPY).write(&mut p.scratch([1, 1], DType::F32)).grid([1; 3]), "copy: access of x"),
        (|p| p.dispatch(&COPY).read(&p.scratch([1, 1], DType::F32)).grid([1; 3]), "copy: bindings"),
        (|p| p.dispatch(&BUMP).write(&mut p.scratch([1, 1], DType::F32)).grid([1; 3]), "bump: parameters"),
        (|p| p.dispatch(&BUMP).param("by", 1.0).grid([1; 3]), "bump: parameter by"),
        (
            |p| p.dispatch(&BUMP).write(&mut p.scratch([1, 1], DType::F32)).param("by", 1_u32).grid([0, 1, 1]),
            "bump: empty grid",
        ),
    ];
    for (record, expected) in wrong {
        let found = complaint(record);
        assert!(found.contains(expected), "{found} does not say {expected}");
    }
}
