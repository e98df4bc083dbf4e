//! The capacity of caches: allocations match the plan, and an error names a context that fits.

use std::sync::Arc;

use bimetal::{
    Backend, Engine, EngineOptions, Error, Model,
    low_level::{
        compute::{cpu::Cpu, dtype::DType},
        kernels::operands::caches::State,
        model::{
            cache::{Cache, PAGE, Plan, Room, Wanted},
            config::{Config, LayerKind},
            weights::Source,
        },
    },
};

use crate::support::fixtures::checkpoint;

const AMPLE: Room = Room { bytes: u64::MAX, binding: u64::MAX };

fn wanted(context: u32, kv: DType) -> Wanted {
    Wanted { context, sequences: 2, slots: 3, kv }
}

/// Bytes of keys and values of one page in all layers.
fn page(config: &Config, kv: DType) -> u64 {
    let layers = config.count(LayerKind::Full) as u64;
    layers * 2 * kv.size([PAGE * config.kv_heads, config.head_dim])
}

fn refusal(config: &Config, wanted: Wanted, room: Room) -> String {
    let Err(Error::Request(what)) = Plan::fit(config, wanted, room) else { panic!("{wanted:?} fits into {room:?}") };
    what
}

/// The context in the error's advice.
fn advised(refusal: &str) -> u32 {
    let (_, context) = refusal.rsplit_once("--context ").unwrap_or_else(|| panic!("no advice in {refusal:?}"));
    context.split(' ').next().unwrap().parse().unwrap()
}

fn model() -> Model {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    Model::load(&backend, &Source::Checkpoint(&checkpoint("tiny-f32")), DType::F32, &mut |_, _| {}).unwrap()
}

#[test]
fn what_is_planned_is_what_is_allocated() {
    let model = model();
    for kv in [DType::F16, DType::F32, DType::Q8Heads] {
        for context in [1, 16, 100, 257] {
            let plan = Plan::fit(&model.config, wanted(context, kv), AMPLE).unwrap();
            assert_eq!((plan.pages, plan.slots), (2 * context.div_ceil(PAGE), 3));
            let cache = Cache::new(&model.backend, &model.config, &plan).unwrap();
            let layers = cache.layers.iter().map(|state| match state {
                State::KvPages(pages) => pages.keys.bytes() + pages.values.bytes(),
                State::Slots(slots) => slots.conv_state.bytes() + slots.state.bytes(),
            });
            let allocated = layers.sum::<u64>() + cache.rope.bytes() + cache.tables.bytes();
            assert_eq!(plan.bytes(&model.config), allocated, "{plan:?}");
        }
    }
}

#[test]
fn halves_take_half_the_memory_of_keys_and_values() {
    for name in ["0.8b", "4b", "27b"] {
        let config = Config::named(name).unwrap();
        let [half, full] = [DType::F16, DType::F32].map(|kv| Plan::fit(&config, wanted(4096, kv), AMPLE).unwrap());
        assert_eq!(half.pages, full.pages);
        let pages = u64::from(half.pages) * page(&config, DType::F16);
        assert_eq!(full.bytes(&config) - half.bytes(&config), pages, "{name}");
    }
    // By hand: 6 layers, keys and values, 2 heads of 256 elements of 2 bytes; or of 1 byte, and a scale of 4.
    let config = Config::named("0.8b").unwrap();
    assert_eq!(page(&config, DType::F16), 6 * 2 * 16 * 2 * 256 * 2);
    assert_eq!(page(&config, DType::Q8Heads), 6 * 2 * 16 * 2 * (256 + 4));
    let room = |kv| Room { bytes: Plan::fit(&config, wanted(4096, kv), AMPLE).unwrap().bytes(&config), ..AMPLE };
    let longer = Plan::fit(&config, wanted(8192, DType::Q8Heads), room(DType::F16)).unwrap();
    assert!(longer.pages >= 512, "in the memory of two contexts in half precision there is one of twice the length");
}

#[test]
fn types_in_which_nothing_is_kept_are_refused() {
    let model = Arc::new(model());
    for kv in [DType::Bf16, DType::U32, DType::Q8, DType::Q4] {
        let Err(Error::Request(said)) =
            Engine::new(model.clone(), EngineOptions { kv, ..EngineOptions::default() }).map(drop)
        else {
            panic!("{kv:?} is taken")
        };
        assert_eq!(said, format!("keys and values are kept as F32, F16 or Q8Heads, not as {kv:?}"));
    }
}

#[test]
fn a_context_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let config = Config::named("0.8b").unwrap();
    for kv in [DType::F16, DType::F32, DType::Q8Heads] {
        for (bytes, binding) in
            [(1 << 30, u64::MAX), (123_456_789, u64::MAX), (u64::MAX, 128 << 20), (1 << 30, 9 << 20)]
        {
            for context in [262_144, 4_000_000, u32::MAX] {
                let (wanted, room) = (Wanted { context, ..wanted(0, kv) }, Room { bytes, binding });
                let said = refusal(&config, wanted, room);
                println!("{said}");
                let fits = advised(&said);
                assert!(fits > 0 && said.contains(&format!("a context of {context} tokens needs")), "{said}");
                let plan = Plan::fit(&config, Wanted { context: fits, ..wanted }, room).unwrap();
                assert!(plan.bytes(&config) <= bytes && plan.context == fits, "{plan:?}");
                assert_eq!(advised(&refusal(&config, Wanted { context: fits + PAGE, ..wanted }, room)), fits);
            }
        }
    }
    let none = refusal(&config, wanted(4096, DType::F16), Room { bytes: 1000, ..AMPLE });
    assert!(none.contains("no context fits"), "{none}");
    let bound = refusal(&config, wanted(262_144, DType::F16), Room { binding: 128 << 20, ..AMPLE });
    assert!(bound.contains("256 MiB for the keys of one layer, and the device takes 128 MiB"), "{bound}");
}

#[test]
fn sequences_share_what_memory_is_left() {
    let config = Config::named("0.8b").unwrap();
    let wanted = wanted(4096, DType::F16);
    let smallest = Plan { pages: 256, ..Plan::fit(&config, wanted, AMPLE).unwrap() };
    for (spare, pages) in [(0, 256), (1, 257), (100, 356), (256, 512), (1000, 512)] {
        let room = Room { bytes: smallest.bytes(&config) + spare * page(&config, DType::F16), ..AMPLE };
        let plan = Plan::fit(&config, wanted, room).unwrap();
        assert_eq!((plan.pages, plan.slots), (pages, 3), "{spare} pages to spare");
        assert!(plan.bytes(&config) <= room.bytes);
    }
}

#[test]
fn an_engine_that_would_not_fit_is_refused_before_it_allocates_and_opens_with_what_it_says() {
    let model = Arc::new(model());
    let ample = Engine::new(model.clone(), EngineOptions { context: Some(4096), ..EngineOptions::default() }).unwrap();
    assert_eq!(ample.plan().context, 4096);
    // Enough for the weights, the programs and a part of the cache.
    let options = EngineOptions { context: Some(4096), sequences: 1, ..EngineOptions::default() };
    let opens = |memory| EngineOptions { context: Some(PAGE), memory: Some(memory), ..options }.plan(&model).is_ok();
    let (mut low, mut high) = (0_u64, 1 << 40);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if opens(middle) { high = middle } else { low = middle }
    }
    let tight = EngineOptions { memory: Some(high + (1 << 19)), ..options };
    let Err(Error::Request(said)) = Engine::new(model.clone(), tight).map(drop) else { panic!("it fits") };
    println!("{said}");
    let fits = advised(&said);
    assert!((PAGE..4096).contains(&fits), "{said}");
    let engine = Engine::new(model, EngineOptions { context: Some(fits), ..tight }).unwrap();
    assert_eq!(engine.plan().context, fits);
    assert!(engine.memory() <= tight.memory.unwrap(), "{} of {:?}", engine.memory(), tight.memory);
}
