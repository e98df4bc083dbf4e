//! `bench`.

use serde_json::Value;

use crate::{
    run::{Outcome, run},
    support::fixtures::fixture,
};

fn bench(arguments: &[&str]) -> Outcome {
    run(&[&["bench", "--backend", "cpu"], arguments].concat())
}

#[test]
fn json() {
    let out = bench(&["-p", "8,16", "-n", "4", "-d", "0,32", "-S", "1,2", "-r", "3", "--json"]).succeeds().out;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["backend"], &report["model"]), (&"cpu".into(), &"tiny-stories, the built-in model".into()));
    assert!(report["device"].is_string() && report["driver"].is_string());
    assert!(report["memory_bytes"].as_u64().unwrap() > 15_000_000);
    let results = report["results"].as_array().unwrap();
    let names: Vec<_> = results.iter().map(|result| result["test"].as_str().unwrap()).collect();
    let want = ["pp8", "pp16", "tg4 @ d0 x1", "tg4 @ d0 x2", "tg4 @ d32 x1", "tg4 @ d32 x2"];
    assert_eq!(names, want);
    for result in results {
        let mut rates: Vec<_> = result["rates"].as_array().unwrap().iter().map(|rate| rate.as_f64().unwrap()).collect();
        rates.sort_by(f64::total_cmp);
        assert_eq!((rates.len(), result["median"].as_f64()), (3, Some(rates[1])));
        assert!(rates[0] > 0.0);
    }
    assert_eq!(
        (&report["parameters"], &report["inputs"], &report["kv"]),
        (&7_906_608.into(), &"f32".into(), &"f16".into())
    );
    let parts: u64 = report["memory"].as_object().unwrap().values().map(|part| part.as_u64().unwrap()).sum();
    assert_eq!(report["memory_bytes"], parts);
    let programs = report["dispatches"].as_array().unwrap();
    assert!(programs.iter().all(|program| program["count"].as_u64().unwrap() > 20), "{programs:?}");
}

#[test]
fn a_table() {
    let Outcome { out, err, .. } = bench(&["-p", "8", "-n", "0", "-r", "1"]).succeeds();
    // Without a terminal, no progress is drawn.
    assert_eq!(err.lines().count(), 1, "{err}");
    let lines: Vec<_> = out.lines().collect();
    let [heading, settings, columns, row, closing, memory] = lines[..] else { panic!("{out}") };
    let threads = crate::run::threads();
    let model = "tiny-stories, the built-in model (7.9 M parameters, 15.1 MiB)";
    assert_eq!(heading, format!("{model} on {threads} threads (cpu), median of 1"));
    assert_eq!(settings, "products of f32, keys and values in f16, 512 tokens a step, a context of 16");
    assert_eq!(columns.split_whitespace().collect::<Vec<_>>(), ["test", "tok/s", "least", "most"]);
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!((cells[0], cells.len()), ("pp8", 4));
    assert!(cells[1] == cells[2] && cells[2] == cells[3], "{row}");
    assert!(closing.starts_with("dispatches: prompt of 512 "), "{closing}");
    assert!(memory.starts_with("device memory: ") && memory.contains(" MiB: weights 15.1 MiB, caches "), "{memory}");
}

#[test]
fn a_loop_to_compare_with() {
    let small = fixture("tiny-tied-text-f32");
    let out = bench(&["--compare-loop", "--model", small.to_str().unwrap()]).succeeds().out;
    assert!(out.starts_with("1,000 tokens: in chunks of 512 "), "{out}");
    // On the cpu backend both ways compute the same sums.
    assert!(out.ends_with(" times\nlogits max_abs_diff 0.000000\n"), "{out}");
}

#[test]
fn a_shape_that_nobody_published() {
    bench(&["--shape", "nonsense"])
        .misunderstands("invalid value 'nonsense' for '--shape <SHAPE>'\n  [possible values: 0.8b, 2b, 4b, 9b, 27b]");
    bench(&["--shape", "2b", "--model", "DIR"])
        .misunderstands("the argument '--shape <SHAPE>' cannot be used with '--model <DIR|GGUF|OWNER/NAME>'");
    bench(&["--compare-loop", "--json"]).misunderstands("the argument '--compare-loop' cannot be used with '--json'");
}

#[test]
fn lengths_that_measure_nothing() {
    bench(&["-p", "0", "-n", "0"]).refuses("-p 0 -n 0 measures nothing; give one of them a length");
    let cases = [
        ("--repeat", "0", "'--repeat <REPEAT>': expected a whole number from 1 to 1,000"),
        ("-S", "0", "'--sequences <SEQUENCES>': expected a whole number from 1 to 1,024"),
        ("-p", "-1", "'--prompt <TOKENS>': expected a whole number from 0 to 16,777,216"),
        ("-d", "16777217", "'--depth <TOKENS>': expected a whole number from 0 to 16,777,216"),
        (
            "--budget",
            "64",
            "'--budget <TOKENS>': expected a whole number from 65 to 65,535; leave it out for the default",
        ),
    ];
    for (flag, value, message) in cases {
        bench(&[flag, value]).misunderstands(&format!("invalid value '{value}' for {message}"));
    }
    let few = "--budget 65 tokens a step are too few: one chunk of 64 and one token for each of 4 sequences need 68";
    bench(&["-S", "4", "--budget", "65", "-p", "1", "-n", "1"]).refuses(few);
}

#[test]
fn lengths_beyond_the_context() {
    let message = |context| {
        format!("-p, -d and -n ask for a context of {context} tokens, and the model's has 4096; give shorter lengths")
    };
    bench(&["-p", "100000"]).refuses(&message(100_001));
    bench(&["-p", "1", "-d", "4000", "-n", "100"]).refuses(&message(4101));
    bench(&["-p", "300", "-n", "0", "--context", "256"])
        .refuses("-p, -d and -n ask for a context of 301 tokens, and --context has 256; give shorter lengths");
    bench(&["-p", "4000", "-n", "0", "--memory", "30"]).refuses(
        "a context of 4016 tokens needs 6 MiB of cache, and 2 MiB are free; a context of 1088 tokens fits: --context 1088 \
         (weights and programs take 28 MiB; --memory and --budget change what is left)",
    );
}

#[test]
fn flags_that_do_nothing_alone() {
    let cases: [(&[&str], _, _); 5] = [
        (&["-p", "8", "--trace", "no/such/trace.json"], "--trace", "--profile"),
        (&["--gpu", "discrete"], "--gpu", "--plan"),
        (&["--profile", "--gpu", "discrete"], "--gpu", "--plan"),
        (&["--kernels"], "--kernels", "--plan"),
        (&["-n", "8", "--chip", "m1"], "--chip", "--plan or --profile"),
    ];
    for (arguments, flag, partner) in cases {
        bench(arguments).refuses(&format!("{flag} does nothing without {partner}: add it, or leave {flag} out"));
    }
}
