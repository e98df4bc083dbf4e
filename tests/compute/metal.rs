//! The Metal executor on a recording driver: order, barriers, command buffers, memory, errors.

mod compiler;
mod decoding;
mod failures;
mod recorder;

mod stated;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bimetal::{
    Backend, Error,
    low_level::compute::{
        cost::Cost,
        dtype::DType,
        kernel::{Binding, Element, Kernel, Scalar, Source},
        metal::Metal,
        pass::{Pass, Program},
        tensor::Tensor,
    },
};

use recorder::{Op, Recorder};

static ADD: Kernel = Kernel {
    name: "add",
    bindings: &[Binding::read("x", Element::F32), Binding::write("y", Element::F32)],
    params: &[("by", Scalar::U32(0))],
    library: &[],
    lanes: 32,
    source: Source { wgsl: "", msl: Some("kernel void add() {}"), proven: false },
    cpu: |_| {},
    cost: |_, _| Cost::default(),
};

static BROKEN: Kernel =
    Kernel { name: "broken", source: Source { wgsl: "", msl: Some("nonsense"), proven: false }, ..ADD };

struct Harness {
    metal: Arc<Metal<Recorder>>,
    backend: Arc<dyn Backend>,
}

impl Harness {
    fn new() -> Self {
        Self::of(Metal::new(Recorder::new(None)))
    }

    fn of(metal: Metal<Recorder>) -> Self {
        let metal = Arc::new(metal);
        Self { backend: metal.clone(), metal }
    }

    fn driver(&self) -> &Recorder {
        self.metal.driver()
    }

    /// A tensor whose first element is a given word.
    fn tensor(&self, word: u32, bytes: u64) -> Tensor {
        let tensor = Tensor::new(&self.backend, [1, bytes as u32 / 4], DType::F32, "values").unwrap();
        write(&tensor, word);
        tensor
    }

    fn tensors<const N: usize>(&self) -> [Tensor; N] {
        [0; N].map(|word| self.tensor(word, 16))
    }

    fn load(&self, record: impl FnOnce(&Pass)) -> Program {
        let p = Pass::new(self.backend.caps());
        record(&p);
        self.backend.load(p).unwrap()
    }

    /// Runs a program once and waits, so that its time is known.
    fn measured(&self, program: &Program) {
        self.backend.run(program).unwrap();
        self.backend.wait().unwrap();
    }

    fn last(&self) -> Vec<Op> {
        self.driver().log().committed.last().unwrap().1.clone()
    }
}

fn write(tensor: &Tensor, word: u32) {
    tensor.buffer().write(0, &word.to_le_bytes()).unwrap();
}

fn read(tensor: &Tensor) -> u32 {
    word(pollster::block_on(tensor.buffer().read(0..4)))
}

fn word(bytes: Result<Vec<u8>, Error>) -> u32 {
    u32::from_le_bytes(bytes.unwrap().try_into().unwrap())
}

fn add(p: &Pass, x: &Tensor, y: &mut Tensor, by: u32) {
    p.dispatch(&ADD).read(x).write(y).param("by", by).grid([3, 2, 1]);
}

/// The pipelines and dispatches, without the bindings.
fn skeleton(ops: &[Op]) -> String {
    let letter = |op: &Op| match op {
        Op::Barrier => Some('|'),
        Op::Dispatch(..) => Some('x'),
        _ => None,
    };
    ops.iter().filter_map(letter).collect()
}

#[test]
fn barriers_are_where_the_recording_has_them() {
    let harness = Harness::new();
    let [a, mut b, mut c, mut d] = harness.tensors();
    let program = harness.load(|p| {
        add(p, &a, &mut b, 1);
        add(p, &a, &mut c, 1);
        add(p, &b, &mut d, 1);
        add(p, &c, &mut b, 1);
        add(p, &b, &mut c, 1);
    });
    let barriers: Vec<_> = program.dispatches.iter().map(|dispatch| dispatch.barrier).collect();
    assert_eq!(barriers, [false, false, true, true, true]);
    harness.measured(&program);
    harness.backend.run(&program).unwrap();
    assert_eq!(skeleton(&harness.last()), "xx|x|x|x");
}

#[test]
fn a_program_that_is_known_to_be_short_is_one_command_buffer() {
    let harness = Harness::new();
    harness.driver().script().seconds = 1e-4;
    let [mut x, mut y] = harness.tensors();
    let program = harness.load(|p| {
        for _ in 0..10 {
            add(p, &x, &mut y, 1);
            add(p, &y, &mut x, 1);
        }
    });
    harness.measured(&program);
    assert_eq!(harness.metal.submissions(), 8, "a program of unknown length holds nobody up");
    harness.backend.run(&program).unwrap();
    assert_eq!(harness.metal.submissions(), 9);
    assert_eq!(skeleton(&harness.last()), "x".to_owned() + &"|x".repeat(19));
    assert_eq!(read(&x), 40);
}

#[test]
fn a_long_program_is_cut_by_what_its_command_buffers_took() {
    let harness = Harness::new();
    harness.driver().script().seconds = 0.02;
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| (0..16).for_each(|_| add(p, &x, &mut y, 1)));
    harness.measured(&program);
    let before = harness.metal.submissions();
    harness.backend.run(&program).unwrap();
    assert_eq!(harness.metal.submissions() - before, 4, "16 dispatches of 20 ms, 100 ms at a time");
    // The next run starts before this one's measurement, so it is not measured and splits as before.
    harness.backend.run(&program).unwrap();
    harness.backend.wait().unwrap();
    assert_eq!(harness.metal.submissions() - before, 8);
}

#[test]
fn a_command_buffer_sees_what_those_before_it_wrote() {
    let harness = Harness::of(Metal::new(Recorder::new(None)).submission(Duration::ZERO));
    let [x, mut y, mut z] = harness.tensors();
    let program = harness.load(|p| {
        add(p, &x, &mut y, 5);
        add(p, &y, &mut z, 7);
    });
    harness.backend.run(&program).unwrap();
    assert_eq!(harness.metal.submissions(), 2);
    assert_eq!(skeleton(&harness.last()), "x", "no barrier where there is nothing to wait for");
    assert_eq!(read(&z), 12);
    let labels: Vec<_> = harness.driver().log().committed.iter().map(|(label, _)| label.clone()).collect();
    assert_eq!(labels, ["add[] and 1 more (dispatches 1 to 1)", "add[] and 1 more (dispatches 2 to 2)"]);
}

#[test]
fn bindings_come_first_and_constants_after_them_and_nothing_is_bound_twice() {
    let harness = Harness::new();
    let [x, mut y, mut z] = harness.tensors();
    let program = harness.load(|p| {
        add(p, &x, &mut y, 5);
        add(p, &x, &mut z, 6);
    });
    harness.measured(&program);
    harness.backend.run(&program).unwrap();
    let ops = harness.last();
    let [Op::Pipeline(_), Op::Buffer(0, first), Op::Buffer(1, second), rest @ ..] = &ops[..] else { panic!("{ops:?}") };
    let [Op::Bytes(2, five), Op::Dispatch(grid, lanes), Op::Pipeline(_), Op::Buffer(1, third), rest @ ..] = rest else {
        panic!("{ops:?}")
    };
    assert_eq!((five, grid, lanes), (&5_u32.to_le_bytes().to_vec(), &[3, 2, 1], &32));
    assert!(first != second && second != third && first != third);
    assert_eq!(rest, [Op::Bytes(2, 6_u32.to_le_bytes().to_vec()), Op::Dispatch([3, 2, 1], 32)]);
}

#[test]
fn what_the_host_writes_later_is_seen_later() {
    // A buffer that gets new memory, and a buffer too large for that.
    for (bytes, waits) in [(64, false), (2 << 20, true)] {
        let harness = Harness::new();
        let (x, mut y) = (harness.tensor(1, bytes), harness.tensor(0, bytes));
        let program = harness.load(|p| add(p, &x, &mut y, 10));
        harness.backend.run(&program).unwrap();
        x.buffer().write(4, &[9; 4]).unwrap();
        write(&x, 2);
        assert_eq!(!harness.driver().log().waits.is_empty(), waits, "{bytes} bytes");
        assert_eq!(read(&y), 11, "{bytes} bytes");
        harness.backend.run(&program).unwrap();
        assert_eq!(read(&y), 12, "{bytes} bytes");
        assert_eq!(pollster::block_on(x.buffer().read(0..8)).unwrap(), [2, 0, 0, 0, 9, 9, 9, 9]);
    }
}

#[test]
fn what_the_device_has_yet_to_write_is_not_overtaken_by_the_host() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| add(p, &x, &mut y, 10));
    harness.backend.run(&program).unwrap();
    let asked = y.buffer().read(0..4);
    write(&y, 77);
    assert_eq!((read(&y), word(pollster::block_on(asked))), (77, 10));
}

#[test]
fn a_read_is_as_of_when_it_was_asked_for() {
    let harness = Harness::new();
    let [x, mut y, mut z] = harness.tensors();
    let [first, other] = [harness.load(|p| add(p, &x, &mut y, 1)), harness.load(|p| add(p, &x, &mut z, 1))];
    let mut asked = Vec::new();
    for round in 0..4 {
        write(&x, round * 10);
        harness.backend.run(&first).unwrap();
        asked.push(y.buffer().read(0..4));
    }
    // This read is never awaited.
    drop(y.buffer().read(0..4));
    while let Some(pending) = asked.pop() {
        assert_eq!(word(pollster::block_on(pending)), 10 * asked.len() as u32 + 1);
    }
    // A program that does not touch the buffer runs without a wait, as in decoding ahead.
    let before = harness.driver().log().waits.len();
    harness.backend.run(&first).unwrap();
    let pending = y.buffer().read(0..4);
    harness.backend.run(&other).unwrap();
    assert_eq!(harness.driver().log().waits.len(), before);
    assert_eq!(word(pollster::block_on(pending)), 31);
    assert_eq!(harness.driver().log().waits.len(), before + 1, "and waits for what it needs alone");
}

#[test]
fn what_is_freed_lasts_as_long_as_the_device_needs_it() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| {
        let mut middle = p.scratch([1, 4], DType::F32);
        add(p, &x, &mut middle, 1);
        add(p, &middle, &mut y, 1);
    });
    harness.backend.run(&program).unwrap();
    drop((program, x));
    assert_eq!(read(&y), 2);
}

#[test]
fn few_command_buffers_are_under_way() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| add(p, &x, &mut y, 1));
    (0..200).for_each(|_| harness.backend.run(&program).unwrap());
    let in_flight = harness.driver().log().max_in_flight;
    assert!((2..=32).contains(&in_flight), "{in_flight}");
    harness.backend.wait().unwrap();
    assert_eq!(harness.driver().log().run, 200);
}

#[test]
fn the_end_waits_for_what_is_under_way() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let program = harness.load(|p| add(p, &x, &mut y, 1));
    harness.backend.run(&program).unwrap();
    let log = harness.driver().later();
    drop((program, x, y, harness));
    let log = log.lock().unwrap();
    assert_eq!((log.run, &log.waits[..]), (1, &[1][..]));
}

#[test]
fn each_text_is_compiled_once() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    let record = |p: &Pass, y: &mut Tensor| {
        for width in [1, 2, 1, 3, 2, 1] {
            p.dispatch(&ADD).define("WIDTH", width).read(&x).write(y).param("by", width).grid([1; 3]);
        }
    };
    let p = Pass::new(harness.backend.caps());
    record(&p, &mut y);
    harness.backend.compile(&p.finish().dispatches).unwrap();
    assert_eq!(harness.driver().log().compiled.len(), 3);
    harness.load(|p| record(p, &mut y));
    assert_eq!(harness.driver().log().compiled.len(), 3);
    let p = Pass::new(harness.backend.caps());
    p.dispatch(&BROKEN).define("WIDTH", 7).read(&x).write(&mut y).param("by", 0_u32).grid([1; 3]);
    let Err(Error::Shader { kernel, log }) = harness.backend.load(p) else { panic!() };
    assert_eq!((&*kernel, &*log), ("broken[WIDTH=7]", "nonsense in line 1"));
}

#[test]
fn pipelines_are_kept_from_the_start_and_after_each_batch_of_new_ones() {
    let harness = Harness::new();
    let [x, mut y] = harness.tensors();
    ["here", "elsewhere"].iter().for_each(|directory| harness.backend.keep_pipelines(Path::new(directory), 7));
    (0..2).for_each(|_| drop(harness.load(|p| add(p, &x, &mut y, 1))));
    let here = |compiled| (PathBuf::from("here"), compiled);
    assert_eq!(harness.driver().log().kept, [here(0), here(0), here(1)], "the first directory stays");
}

#[test]
fn dispatches_are_timed_alone() {
    let harness = Harness::new();
    harness.driver().script().seconds = 0.25;
    let [mut x, mut y] = harness.tensors();
    let program = harness.load(|p| {
        for _ in 0..30 {
            add(p, &x, &mut y, 1);
            add(p, &y, &mut x, 1);
        }
    });
    assert_eq!(harness.backend.time(&program).unwrap().unwrap(), [Duration::from_millis(250); 60]);
    assert_eq!((harness.metal.submissions(), read(&x)), (60, 60));
}

#[test]
fn threads_share_a_device() {
    let harness = Harness::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let harness = &harness;
            scope.spawn(move || {
                let [x, mut y] = harness.tensors();
                let program = harness.load(|p| add(p, &x, &mut y, number));
                for round in 0..200 {
                    write(&x, round);
                    harness.backend.run(&program).unwrap();
                    if round % 3 > 0 {
                        assert_eq!(read(&y), round + number);
                    }
                }
            });
        }
    });
}
