//! The costs of steps against figures computed by hand; the dry-run device; the table of chips; `bench --plan`.

mod metal;
mod plan_output;
mod quantized;

use std::{collections::BTreeSet, sync::Arc};

use bimetal::{
    Backend, Engine, EngineOptions, Model, Precision, Request, Sampling, SequenceId,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cost::{Bytes, Cost, Flops, Load},
            cpu::Cpu,
            dry_run::DryRun,
            dtype::DType,
            kernel::Access,
            memory::Resource,
            pass::{Pass, Recorded},
            tensor::Tensor,
        },
        engine::{AtEnd, DryEngine, sampler::Mode},
        kernels::{
            copy_slot::copy_slot,
            operands::{
                recorder::Recorder,
                step::{Layout, Phase, Step, Work},
            },
            top_k::top_k,
        },
        model::{
            cache::{Cache, PAGE, Plan},
            config::{Config, LayerKind},
            weights::Source,
        },
        ops::select::argmax,
    },
    measure::{
        chips::{self, Chip},
        cost_table::CostTable,
    },
};

// The 0.8B shape: D = 1024, MLP 3584, V = 248,320, 18 DeltaNet layers of 16 heads of 128 × 128, 6 attention layers of 8
// query and 2 key heads of 256. Weights, keys and values have 2 bytes, states 4.
const HEAD: u64 = 248_320 * 1024;
const MLP: u64 = 3 * 3584 * 1024;
const LINEAR: u64 = (6144 + 2048 + 16 + 16) * 1024 + 1024 * 2048 + MLP;
const FULL: u64 = (2 * 8 + 2 + 2) * 256 * 1024 + 1024 * 2048 + MLP;
/// Weights of matrix products, without the head.
const PRODUCTS: u64 = 18 * LINEAR + 6 * FULL;
/// Norms, convolutions, gates.
const SMALL: u64 = 18 * (6144 * 4 + 2 * 16 + 128) + 6 * 2 * 256 + 24 * 2 * 1024 + 1024;
/// Parameters of gates and head norms, which stay f32.
const SINGLES: u64 = 18 * 2 * 16 + 6 * 2 * 256;
/// Bytes of all weights, each read once.
const WEIGHTS: u64 = 2 * (HEAD + PRODUCTS + SMALL + SINGLES);
const STATES: u64 = 18 * 16 * 128 * 128 * 4;
const RING_ROW: u64 = 18 * 6144 * 4;
const KV_TOKEN: u64 = 12 << 10;

fn discrete() -> Caps {
    Caps::typical("wgpu", DeviceKind::Discrete)
}

fn dry_engine(caps: Caps, shape: &str, sequences: u32, context: u32) -> DryEngine {
    let options = EngineOptions { context: Some(context), budget: Some(512), sequences, ..EngineOptions::default() };
    let config = Config::named(shape).unwrap();
    DryEngine::new(caps, &Source::Random(&config), DType::F16.into(), options).unwrap()
}

fn sum(cost_table: &CostTable) -> Cost {
    cost_table.total().cost
}

#[test]
fn the_shape_has_the_published_size() {
    assert_eq!(HEAD + PRODUCTS + SMALL, 752_393_024);
    assert_eq!(Config::named("0.8b").unwrap().parameters(), 752_393_024);
}

#[test]
fn a_decoded_token_reads_every_weight_once_and_its_states() {
    let depth = 1000;
    let cost_table = CostTable::of(&dry_engine(discrete(), "0.8b", 1, 2048).decode(1, depth).unwrap());
    let cost = sum(&cost_table);
    assert_eq!(cost.weights, WEIGHTS + 2 * 1024, "the head is the embedding; one row of that");
    let context = u64::from(depth) + 1;
    assert_eq!(cost.cache.read, STATES + 3 * RING_ROW + context * KV_TOKEN);
    assert_eq!(cost.cache.written, STATES + RING_ROW + KV_TOKEN);
    // A product that normalizes its rows itself reads them as f32.
    let on_matrix_units = 18 * 1024 * 2048 + 6 * 1024 * 2048 + 24 * 1024 * 3584;
    assert_eq!(cost.flops.matrix, 2 * on_matrix_units);
    let products = 2 * (HEAD + PRODUCTS - on_matrix_units);
    let rest = products + 2 * 3 * STATES / 4 + 2 * 2 * context * 6 * 8 * 256;
    assert!(cost.flops.vector >= rest && cost.flops.vector < rest + 4_000_000, "{cost:?}");
    let gigabytes = (cost.weights + 2 * STATES) as f64 / 1e9;
    assert!((1.54..1.55).contains(&gigabytes), "{gigabytes}");
    assert_eq!([cost_table.submissions, cost_table.waits], [1, 1]);
}

/// Each dispatch waits for the one before it, which costs more than the work of most of them.
#[test]
fn a_decoded_token_takes_few_dispatches() {
    let cost_table = CostTable::of(&dry_engine(discrete(), "0.8b", 1, 256).decode(1, 16).unwrap());
    // The embedding, 5 per DeltaNet layer and 7 per attention layer, the head, two for the selection.
    assert_eq!(cost_table.total().dispatches, 1 + 18 * 5 + 6 * 7 + 1 + 2);
}

#[test]
fn sequences_share_weights_and_nothing_else() {
    let mut engine = dry_engine(discrete(), "0.8b", 8, 1024);
    let (one, all) =
        (sum(&CostTable::of(&engine.decode(1, 300).unwrap())), sum(&CostTable::of(&engine.decode(8, 300).unwrap())));
    assert_eq!(all.weights - one.weights, 7 * 2 * 1024, "a row of the embedding each");
    assert_eq!(all.cache.moved(), 8 * one.cache.moved());
    assert_eq!(all.activations.moved(), 8 * one.activations.moved());
    assert_eq!(all.flops.total(), 8 * one.flops.total());
}

#[test]
fn a_token_of_a_prompt_costs_a_gigaflop_and_the_head_is_for_the_last() {
    let (rows, depth) = (512, 0);
    let cost_table = CostTable::of(&dry_engine(discrete(), "0.8b", 1, 1024).prefill(rows, depth).unwrap());
    let (cost, rows) = (sum(&cost_table), u64::from(rows));
    assert_eq!(cost.weights, WEIGHTS + rows * 2 * 1024);
    let attention = 2 * 2 * (rows * (rows + 1) / 2) * 6 * 8 * 256;
    // A token's three products with the state, and those with the other tokens of its chunk of 64.
    let delta = 2 * rows * 18 * 16 * (3 * 128 * 128 + 5 * 64 * 128);
    assert_eq!(cost.flops.matrix, 2 * (rows * PRODUCTS + HEAD) + attention + delta);
    let token = (cost.flops.total() - 2 * HEAD) as f64 / rows as f64 / 1e9;
    assert!((1.05..1.07).contains(&token), "{token} GFLOP");
    // The cache is empty before; every token's keys and values are written once and read once.
    assert_eq!(cost.cache.read, rows * KV_TOKEN);
    assert_eq!(cost.cache.written, STATES + 3 * RING_ROW + rows * KV_TOKEN);
}

#[test]
fn a_prompt_that_goes_on_reads_what_is_there() {
    let mut engine = dry_engine(discrete(), "0.8b", 1, 2048);
    let (first, on) = (
        sum(&CostTable::of(&engine.prefill(512, 0).unwrap())),
        sum(&CostTable::of(&engine.prefill(512, 1000).unwrap())),
    );
    assert_eq!(on.cache.read - first.cache.read, 1000 * KV_TOKEN + STATES + 3 * RING_ROW);
    assert_eq!(on.cache.written, first.cache.written);
    assert_eq!(on.flops.total() - first.flops.total(), 2 * 2 * 512 * 1000 * 6 * 8 * 256);
}

#[test]
fn the_context_it_says_is_enough_for_many_long_sequences() {
    let context = DryEngine::context(16, 30_000, 512);
    let cost_table = CostTable::of(&dry_engine(discrete(), "0.8b", 16, context).decode(16, 30_000).unwrap());
    assert_eq!(sum(&cost_table).cache.written, 16 * (STATES + RING_ROW + KV_TOKEN));
}

#[test]
fn an_untied_embedding_is_not_read_as_a_head_is() {
    let cost = sum(&CostTable::of(&dry_engine(discrete(), "9b", 1, 256).decode(1, 16).unwrap()));
    let config = Config::named("9b").unwrap();
    let table = u64::from(config.vocabulary) * u64::from(config.hidden);
    let singles = config.count(LayerKind::Linear) as u64 * 2 * u64::from(config.value_heads)
        + config.count(LayerKind::Full) as u64 * 2 * u64::from(config.head_dim);
    assert_eq!(cost.weights, 2 * (config.parameters() - table + u64::from(config.hidden) + singles));
}

#[test]
fn a_table_in_parts_is_read_as_a_whole_one_is() {
    let whole = sum(&CostTable::of(&dry_engine(discrete(), "0.8b", 1, 256).decode(1, 16).unwrap()));
    let parts = sum(&CostTable::of(
        &dry_engine(Caps { max_binding: 64 << 20, ..discrete() }, "0.8b", 1, 256).decode(1, 16).unwrap(),
    ));
    assert_eq!(parts.activations.written, whole.activations.written);
    // Each of the head's 8 parts reads the norm's weight and sums the squares.
    assert_eq!(parts.weights - whole.weights, 7 * 2 * 1024);
    assert_eq!(parts.flops.total() - whole.flops.total(), 7 * 2 * 1024);
}

#[test]
fn full_precision_leaves_the_matrix_units_alone() {
    let options = EngineOptions { context: Some(256), sequences: 1, ..EngineOptions::default() };
    let config = Config::named("0.8b").unwrap();
    let dry_run = DryEngine::new(discrete(), &Source::Random(&config), DType::F32.into(), options);
    let cost_table = CostTable::of(&dry_run.unwrap().decode(1, 16).unwrap());
    assert_eq!(sum(&cost_table).flops.matrix, 0);
}

#[test]
fn the_splits_of_a_device_show() {
    let splits = |caps: Caps, depth: u32| {
        let cost_table = CostTable::of(&dry_engine(caps, "0.8b", 1, 4096).decode(1, depth).unwrap());
        let entry = cost_table.kernels().into_iter().find(|entry| entry.name() == "attend_decode").unwrap();
        entry.cost.activations.written / (6 * 8 * (256 + 2) * 4)
    };
    assert_eq!(splits(Cpu::new(1).caps().clone(), 3000), 1);
    assert_eq!(splits(Caps::apple(), 3000), 16);
    assert_eq!(splits(discrete(), 3000), 64);
    // Few tokens give fewer parts: one per 32 tokens.
    assert_eq!([splits(discrete(), 31), splits(discrete(), 32), splits(discrete(), 1000)], [1, 2, 32]);
}

#[test]
fn what_does_not_fit_one_step_is_an_error() {
    let mut engine = dry_engine(discrete(), "0.8b", 2, 1024);
    assert!(engine.decode(3, 16).err().unwrap().to_string().contains("3 sequences of 16 tokens"));
    assert!(engine.prefill(513, 16).err().unwrap().to_string().contains("513 tokens"));
    // And the engine continues.
    assert_eq!(sum(&CostTable::of(&engine.decode(2, 16).unwrap())).cache.written, 2 * (STATES + RING_ROW + KV_TOKEN));
}

/// The forward pass of the 0.8B shape as one step, recorded without a device.
fn record(phase: Phase, rows: u32, sequences: u32) -> Recorded {
    let backend: Arc<dyn Backend> = Arc::new(DryRun::new(discrete()));
    let config = Config::named("0.8b").unwrap();
    let random = Source::Random(&config);
    let model = Model::load(&backend, &Source::Shapes(&random), DType::F16, &mut |_, _| {}).unwrap();
    let plan = Plan { context: 4096, pages: 4096 / PAGE * sequences, slots: sequences, kv: DType::F16 };
    let mut cache = Cache::new(&backend, &config, &plan).unwrap();
    let step =
        Step::new(&backend, Layout { rows, sequences, outputs: sequences }, phase, cache.tables.clone()).unwrap();
    let mut logits = Tensor::new(&backend, [sequences, config.vocabulary], DType::F32, "logits").unwrap();
    let p = Pass::new(backend.caps());
    model.forward(&p, &mut cache, &step, &mut logits);
    p.finish()
}

/// If every row is active, a dispatch writes its whole results, and reads no more than its bindings.
#[test]
fn costs_agree_with_the_tensors_that_are_bound() {
    for (phase, rows, sequences) in [(Phase::Prefill, 96, 1), (Phase::Decode, 4, 4)] {
        let recorded = record(phase, rows, sequences);
        let load = if phase == Phase::Prefill { Load::prompt(rows, 64) } else { Load::decode(sequences, 4095) };
        for dispatch in &recorded.dispatches {
            let cost = dispatch.cost(&load);
            let bytes = |resource: &Resource| match resource {
                Resource::Buffer(buffer) => buffer.bytes(),
                Resource::Scratch(number) => recorded.scratch[*number as usize],
            };
            let bound = || dispatch.kernel.bindings.iter().zip(&dispatch.resources);
            let read: u64 = bound().filter(|(binding, _)| binding.access != Access::Write).map(|(_, s)| bytes(s)).sum();
            assert!(cost.weights + cost.activations.read + cost.cache.read <= read, "{}: {cost:?}", dispatch.label());
            let scratch = bound()
                .filter(|(binding, resource)| binding.access.writes() && matches!(resource, Resource::Scratch(_)));
            let written: u64 = scratch.map(|(_, resource)| bytes(resource)).sum();
            if dispatch.kernel.name == "gdn_chunk_solve" {
                // The buffers have room for 3 chunks of 64 rows, each with its decays of 16 states, and for twice the
                // rows.
                assert_eq!(2 * cost.activations.written + 4 * 3 * 16, written, "{}", dispatch.label());
            } else if written > 0 {
                assert_eq!(cost.activations.written, written, "{}", dispatch.label());
            }
            assert!(cost.moved() > 0, "{}", dispatch.label());
        }
    }
}

#[test]
fn choosing_tokens_and_copying_slots_cost_what_they_touch() {
    let backend: Arc<dyn Backend> = Arc::new(DryRun::new(discrete()));
    let new = |shape, dtype| Tensor::new(&backend, shape, dtype, "case").unwrap();
    let tables = Arc::new(new([4, 1], DType::U32));
    let step = Step::new(&backend, Layout { rows: 4, sequences: 4, outputs: 4 }, Phase::Decode, tables).unwrap();
    let p = Pass::new(backend.caps());
    let r = Recorder::new(&p, &step, DType::F32);
    let logits = new([4, 1000], DType::F32);
    argmax(r, &logits, 900, &mut new([4, 1], DType::U32));
    top_k(r, &logits, 900, &mut new([4, 64], DType::U32), &mut new([4, 64], DType::F32));
    copy_slot(&p, &new([1, 2], DType::U32), &mut new([3, 512], DType::F32));
    let costs: Vec<_> = p.finish().dispatches.iter().map(|dispatch| dispatch.cost(&Load::decode(3, 9))).collect();
    let read = 3 * 900 * 4;
    let activations = |read, written| Cost { activations: Bytes { read, written }, ..Cost::default() };
    assert_eq!(costs[0], activations(read, 3 * 8), "a leader of one part");
    assert_eq!(costs[1], activations(3 * 8, 3 * 4));
    assert_eq!(costs[2], activations(read, 3 * 64 * 8));
    assert_eq!(costs[3], Cost { cache: Bytes { read: 2048, written: 2048 }, ..Cost::default() });
}

#[test]
fn rows_that_nobody_wants_logits_of_cost_no_head() {
    let recorded = record(Phase::Prefill, 96, 1);
    let total = |outputs| {
        let load =
            Load::from([Work::new(SequenceId::new(0), Phase::Prefill, 64..160).with_outputs(outputs)].as_slice());
        recorded.dispatches.iter().map(|dispatch| dispatch.cost(&load)).sum::<Cost>()
    };
    let (wanted, unwanted) = (total(95..96), total(96..96));
    assert_eq!(wanted, recorded.dispatches.iter().map(|dispatch| dispatch.cost(&Load::prompt(96, 64))).sum());
    assert_eq!(wanted.weights - unwanted.weights, 2 * (HEAD + 1024), "the head and the last norm");
    assert_eq!(wanted.flops.matrix - unwanted.flops.matrix, 2 * HEAD);
    assert_eq!(wanted.cache, unwanted.cache);
}

#[test]
fn loads_count_tokens_and_pairs() {
    let work = |number, range| Work::new(SequenceId::new(number), Phase::Prefill, range);
    let load = Load::from([work(0, 0..2), work(1, 2..7).with_last_output()].as_slice());
    assert_eq!([load.sequences(), load.continued(), load.context()], [2, 1, 2 + 7]);
    assert_eq!(load.pairs(), 1 + 2 + (3 + 4 + 5 + 6 + 7));
    assert_eq!([load.before(3), load.last(3)], [2, 2 + 3]);
}

#[test]
fn chips_are_sane_and_sourced() {
    let names: BTreeSet<_> = chips::all().iter().map(|chip| chip.name.as_str()).collect();
    assert_eq!(names.len(), chips::all().len(), "a name twice");
    for chip in chips::all() {
        assert!((50.0..10_000.0).contains(&chip.bandwidth), "{chip:?}");
        assert!((1.0..500.0).contains(&chip.vector), "{chip:?}");
        assert!((chip.vector..=20.0 * chip.vector).contains(&chip.matrix), "{chip:?}");
        assert!(!chip.sources.is_empty() && chip.sources.iter().all(|url| url.starts_with("https://")), "{chip:?}");
        assert!(!chip.name.starts_with("Apple") || chip.note.contains("publishes no"), "{chip:?}");
    }
    for generation in 1..=5 {
        for rank in ["", " Pro", " Max"] {
            assert!(names.contains(format!("Apple M{generation}{rank}").as_str()), "M{generation}{rank}");
        }
    }
    assert_eq!(chips::named("h200").unwrap().bandwidth, 4800.0);
    assert_eq!(chips::named("apple m4-max").unwrap().name, "Apple M4 Max");
    assert!(chips::named("M17").err().unwrap().to_string().contains("NVIDIA H200"));
}

#[test]
fn devices_are_known_by_their_drivers_names() {
    let known = |device: &str| chips::of_device(device).map(|chip| chip.name.as_str());
    let cases = [
        ("NVIDIA H200", Some("NVIDIA H200")),
        ("NVIDIA H100 80GB HBM3", Some("NVIDIA H100")),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA A100-SXM4-80GB", Some("NVIDIA A100")),
        ("NVIDIA A100-SXM4-40GB", None),
        ("NVIDIA GeForce RTX 4090", Some("NVIDIA RTX 4090")),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", Some("AMD RX 7900 XTX")),
        ("AMD Radeon RX 7900 XT (RADV NAVI31)", None),
        ("Intel(R) Arc(tm) A770 Graphics (DG2)", Some("Intel Arc A770")),
        ("Apple M4", Some("Apple M4")),
        ("Apple M4 Max", Some("Apple M4 Max")),
        ("Apple M17 Max", None),
        ("llvmpipe (LLVM 15.0.6, 256 bits)", None),
        ("", None),
    ];
    for (device, chip) in cases {
        assert_eq!(known(device), chip, "{device}");
    }
    for chip in chips::all() {
        assert_eq!(known(&chip.name), Some(chip.name.as_str()));
    }
}

#[test]
fn a_roofline_is_what_takes_longer() {
    let chip = Chip {
        name: "a chip".into(),
        bandwidth: 100.0,
        vector: 1.0,
        matrix: 4.0,
        sources: Vec::new(),
        note: String::new(),
    };
    let roofline = |weights, matrix, vector| {
        let activations = Bytes { read: weights, written: weights };
        chip.roofline(&Cost { weights, activations, flops: Flops { matrix, vector }, ..Cost::default() })
    };
    assert_eq!(roofline(100_000_000, 0, 0), 3e-3);
    assert_eq!(roofline(0, 4_000_000_000, 2_000_000_000), 3e-3);
    assert_eq!(roofline(100_000_000, 4_000_000_000, 2_000_000_000), 3e-3);
    let cost_table = CostTable::of(&dry_engine(discrete(), "0.8b", 1, 256).decode(1, 16).unwrap());
    let each: f64 = cost_table.kernels().iter().map(|entry| cost_table.roofline(&chip, entry.kernel)).sum();
    let all = cost_table.roofline(&chip, None);
    assert!((each - all).abs() < 1e-9 * all && all >= chip.roofline(&sum(&cost_table)), "{each} {all}");
}

#[test]
fn an_answer_dispatches_what_prompts_and_both_ways_to_choose_take() {
    let dispatches = dry_engine(discrete(), "0.8b", 1, 64).answer().unwrap();
    let names: BTreeSet<_> = dispatches.iter().map(|dispatch| dispatch.kernel.name).collect();
    for name in ["embed", "gdn_conv", "gdn_decode", "attend_decode", "feed_tokens", "argmax", "top_k"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    for [plain, matrix] in [["attend_prefill", "attend_mma"], ["gdn_scan", "gdn_chunk_state"]] {
        assert!(names.contains(plain) || names.contains(matrix), "{names:?}");
    }
}
