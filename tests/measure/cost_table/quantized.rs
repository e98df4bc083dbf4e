//! The costs of quantized weights, keys and values.

use super::*;
use crate::support::fixtures::checkpoint;

/// Quantized weights count with their scales: 8.5 and 4.5625 bits per weight. The two gate matrices of a DeltaNet stay.
#[test]
fn quantized_weights_count_what_they_take() {
    let config = Config::named("0.8b").unwrap();
    let gates = 18 * 2 * 16 * 1024;
    for (format, sixteenths) in [(DType::Q8, 136), (DType::Q4, 73)] {
        let options = EngineOptions { context: Some(256), ..EngineOptions::default() };
        let precision = Precision { activations: Some(DType::F16), weights: Some(format) };
        let dry_run =
            |options: EngineOptions| DryEngine::new(discrete(), &Source::Random(&config), precision, options).unwrap();
        let mut dry_engine = dry_run(options);
        let cost_table = CostTable::of(&dry_engine.decode(1, 16).unwrap());
        let quantized = |weights: u64| weights * sixteenths / 128;
        let rest = 2 * (SMALL + SINGLES + gates);
        assert_eq!(sum(&cost_table).weights, quantized(HEAD + PRODUCTS - gates + 1024) + rest, "{format}");
        assert_eq!(cost_table.total().dispatches, 1 + 18 * 5 + 6 * 7 + 1 + 2, "{format}");
        // Prefill products read them once, dequantized before or inside the product.
        for (budget, dequantized) in [(512, true), (128, false)] {
            let prefill =
                CostTable::of(&dry_run(EngineOptions { budget: Some(budget), ..options }).prefill(64, 0).unwrap());
            let of = |name: &str| prefill.kernels().into_iter().find(|entry| entry.kernel == Some(name));
            let (before, products) = (of("dequantize"), of("matmul_mma").unwrap());
            let reading = if dequantized { before.as_ref().unwrap() } else { &products };
            assert_eq!(reading.cost.weights, quantized(PRODUCTS - gates) + 2 * gates, "{format}");
            // One product per matrix, or two if the gates' rows are separate.
            assert_eq!(before.is_some(), dequantized);
            assert_eq!(products.dispatches, 18 * (4 + u64::from(!dequantized)) + 6 * 4, "{format}");
            if let Some(before) = before {
                assert_eq!((products.cost.weights, before.dispatches), (0, 18 * 5 + 6 * 4), "{format}");
                assert_eq!(before.cost.activations, Bytes { read: 0, written: 2 * PRODUCTS }, "{format}");
            }
        }
    }
}

/// The memory for weights dequantized to f16 is planned before programs are made.
#[test]
fn halves_of_weights_are_foreseen() {
    let config = Config::named("0.8b").unwrap();
    for (budget, dequantized) in [(512, 2 * (6144 + 2048 + 32) * 1024), (128, 0)] {
        let [plain, quantized] = [None, Some(DType::Q4)].map(|quant| {
            // Packed rows between dispatches need other scratch memory, so there are none here.
            let caps = Caps { packed_dots: false, ..discrete() };
            let backend: Arc<dyn Backend> = Arc::new(DryRun::new(caps));
            let source = Source::Random(&config);
            let precision = Precision { activations: Some(DType::F16), weights: quant };
            let model = Arc::new(Model::load(&backend, &Source::Shapes(&source), precision, &mut |_, _| {}).unwrap());
            let taken = |memory: u64| {
                let options = EngineOptions {
                    context: Some(1024),
                    budget: Some(budget),
                    memory: Some(memory),
                    ..EngineOptions::default()
                };
                Engine::new(model.clone(), options)
            };
            // The minimum memory that is accepted.
            let (mut refused, mut enough) = (0, 8 << 30);
            while enough - refused > 1 {
                let middle = u64::midpoint(refused, enough);
                if taken(middle).is_ok() { enough = middle } else { refused = middle }
            }
            let mut engine = taken(enough).unwrap();
            for sampling in [Sampling::greedy(), Sampling::model_card(Mode::Direct)] {
                let prompt = vec![0; 100];
                engine
                    .add(Request { prompt, sampling, max_tokens: 4, stop: BTreeSet::new(), at_end: AtEnd::Free })
                    .unwrap();
                while !engine.is_idle() {
                    engine.step().unwrap();
                }
            }
            (engine.memory() - model.weights.bytes(), enough - model.weights.bytes())
        });
        // The largest f16 matrix of a layer, for both programs.
        assert_eq!([quantized.0 - plain.0, quantized.1 - plain.1], [2 * dequantized; 2], "budget {budget}");
    }
}

/// All types of a GGUF file: a step reads each weight once, in its stored type.
#[test]
fn weights_of_a_file_count_what_they_take_there() {
    let checkpoint = checkpoint("gguf/mixed.gguf");
    let options = EngineOptions { context: Some(256), ..EngineOptions::default() };
    let source = Source::Checkpoint(&checkpoint);
    let mut dry_engine = DryEngine::new(discrete(), &source, DType::F32.into(), options).unwrap();
    let cost = sum(&CostTable::of(&dry_engine.decode(1, 16).unwrap()));
    let all: u64 = checkpoint.summary().bytes.values().sum();
    // One row of the embedding, which is also the head. A projection has at most one dispatch per type, each of which
    // normalizes the rows again: four types in the DeltaNet's, three in the attention's.
    let (row, norm) = (210, 1024);
    let again = cost.weights - (all + row);
    assert!(again.is_multiple_of(norm) && (1..=3 + 2).contains(&(again / norm)), "{again}");
}

/// One byte per element of keys and values and 4 per head; f16 has 2 per element.
#[test]
fn keys_and_values_of_8_bits_count_what_they_take() {
    let config = Config::named("0.8b").unwrap();
    let options = EngineOptions { context: Some(2048), kv: DType::Q8Heads, ..EngineOptions::default() };
    let mut dry_engine = DryEngine::new(discrete(), &Source::Random(&config), DType::F16.into(), options).unwrap();
    let (token, cost_table) = (6 * 2 * 2 * (256 + 4), CostTable::of(&dry_engine.decode(1, 1000).unwrap()));
    assert_eq!(sum(&cost_table).cache.read, STATES + 3 * RING_ROW + 1001 * token);
    assert_eq!(sum(&cost_table).cache.written, STATES + RING_ROW + token);
    let prompt = CostTable::of(&dry_engine.prefill(64, 0).unwrap());
    let attention = prompt.kernels().into_iter().find(|entry| entry.name().starts_with("attend_")).unwrap();
    assert_eq!(attention.cost.cache.read, 64 * token);
}
