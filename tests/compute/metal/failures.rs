//! Device errors, and running out of memory.

use super::*;

#[test]
fn a_failed_command_buffer_is_an_error_with_its_label() {
    type Ask = fn(&Harness, &Tensor, &Program) -> Result<(), Error>;
    let asks: [(&str, Ask); 4] = [
        ("wait", |harness, _, _| harness.backend.wait()),
        ("read", |_, y, _| pollster::block_on(y.buffer().read(0..4)).map(drop)),
        ("write", |_, y, _| y.buffer().write(0, &[0; 4])),
        ("time", |harness, _, program| harness.backend.time(program).map(drop)),
    ];
    for (name, ask) in asks {
        let harness = Harness::new();
        let [x, mut y] = harness.tensors();
        let program = harness.load(|p| add(p, &x, &mut y, 1));
        harness.driver().script().failures.insert(2, "page fault (MTLCommandBufferErrorDomain 3)".into());
        harness.measured(&program);
        harness.backend.run(&program).unwrap();
        let Err(Error::Device { label, what }) = ask(&harness, &y, &program) else { panic!("{name}") };
        assert_eq!(label, "add[]", "{name}");
        assert!(what.contains("page fault"), "{name}: {what}");
        // The error is reported once, and then the backend works again.
        harness.backend.wait().unwrap();
        harness.measured(&program);
        assert_eq!(read(&y), 1, "{name}");
    }
}

#[test]
fn nobody_is_given_what_a_failed_command_buffer_left() {
    let harness = Harness::new();
    let [x, mut y, mut z] = harness.tensors();
    let [first, second] = [harness.load(|p| add(p, &x, &mut y, 1)), harness.load(|p| add(p, &x, &mut z, 1))];
    harness.driver().script().failures.insert(1, "out of memory".into());
    harness.backend.run(&first).unwrap();
    harness.backend.run(&second).unwrap();
    let pending = [y.buffer().read(0..4), z.buffer().read(0..4)];
    for pending in pending {
        let error = pollster::block_on(pending).unwrap_err().to_string();
        assert_eq!(error, "device failure during add[]: out of memory");
    }
    harness.backend.run(&second).unwrap();
    assert_eq!(read(&z), 1);
}

#[test]
fn a_device_that_is_gone_is_an_error_and_holds_nobody_up() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| add(p, &x, &mut y, 1));
    harness.driver().script().refuses = Some("the device was removed".into());
    for _ in 0..2 {
        let Err(Error::Device { label, what }) = harness.backend.run(&program) else { panic!() };
        assert_eq!((&*label, &*what), ("add[]", "the device was removed"));
    }
    let pending = y.buffer().read(0..4);
    write(&x, 3);
    write(&y, 4);
    assert_eq!(word(pollster::block_on(pending)), 0);
    harness.driver().script().refuses = None;
    harness.measured(&program);
    assert_eq!(read(&y), 4);
}

#[test]
fn memory_has_an_end_and_comes_back() {
    let harness = Harness::of(Metal::new(Recorder::new(Some(1 << 20))));
    let half = harness.backend.alloc(1 << 19, "half").unwrap();
    let Err(error) = harness.backend.alloc((1 << 19) + 16, "the rest and more") else { panic!() };
    let text = error.to_string();
    assert!(matches!(error, Error::OutOfMemory { bytes: 524_304, .. }), "{text}");
    for part in ["the rest and more", "524304", "1048576", "524288", harness.backend.caps().device.as_str()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    harness.backend.free(half);
    harness.backend.free(harness.backend.alloc(1 << 20, "all").unwrap());
    // Scratch memory counts, and is freed with its program.
    let [x, mut y] = harness.tensors();
    let record = |p: &Pass, y: &mut Tensor, width: u32| {
        let mut middle = p.scratch([1, width], DType::F32);
        add(p, &x, &mut middle, 1);
        add(p, &middle, y, 1);
    };
    let program = harness.load(|p| record(p, &mut y, 150_000));
    let p = Pass::new(harness.backend.caps());
    record(&p, &mut y, 150_000);
    let Err(Error::OutOfMemory { label, .. }) = harness.backend.load(p) else { panic!() };
    assert_eq!(label, "scratch");
    drop(program);
    harness.load(|p| record(p, &mut y, 150_000));
    let too_large = harness.backend.alloc(1 << 40, "one buffer").unwrap_err().to_string();
    assert!(too_large.contains("at once"), "{too_large}");
}

#[test]
fn memory_that_the_device_still_holds_is_waited_for() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| add(p, &x, &mut y, 1));
    harness.backend.run(&program).unwrap();
    harness.driver().script().largest = Some(1 << 10);
    let error = harness.backend.alloc(1 << 11, "more").unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    let log = harness.driver().log();
    assert_eq!((log.run, &log.buffers[log.buffers.len() - 2..]), (1, &[1 << 11; 2][..]), "tried again");
}

#[test]
fn what_metal_does_not_take_is_an_error_that_names_its_kernel() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let refusals: [(u32, [u32; 3], &str); 3] =
        [(32, [1 << 20, 1 << 20, 1], "1048576"), (1025, [1; 3], "1025 lanes"), (32, [u32::MAX; 3], "4294967295")];
    for (lanes, grid, part) in refusals {
        let p = Pass::new(harness.backend.caps());
        p.dispatch(&ADD).define("K", 4).lanes(lanes).read(&x).write(&mut y).param("by", 0_u32).grid(grid);
        let Err(Error::Device { label, what }) = harness.backend.load(p) else { panic!("{part}") };
        assert!(label == "add[K=4]" && what.contains(part), "{label}: {what}");
    }
}
