//! Invalid values of flags.

use crate::run::run;

fn generate(flags: &[&str]) -> crate::run::Outcome {
    run(&[&["generate", "--backend", "cpu", "Once"], flags].concat())
}

#[test]
fn sampling_out_of_range() {
    let cases = [
        ("--temperature", "-1", "temperature is -1, allowed is 0 to 100"),
        ("--temperature", "NaN", "temperature is NaN, allowed is 0 to 100"),
        ("--temperature", "inf", "temperature is inf, allowed is 0 to 100"),
        ("--top-p", "0", "top_p is 0, allowed is above 0, at most 1"),
        ("--min-p", "1.5", "min_p is 1.5, allowed is 0 to 1"),
        ("--repetition-penalty", "0", "repetition_penalty is 0, allowed is above 0, at most 10"),
        ("--presence-penalty", "-3", "presence_penalty is -3, allowed is -2 to 2"),
        ("--frequency-penalty", "9", "frequency_penalty is 9, allowed is -2 to 2"),
    ];
    for (flag, value, message) in cases {
        generate(&[flag, value]).refuses(message);
        run(&["chat", "--backend", "cpu", flag, value]).refuses(message);
    }
}

#[test]
fn numbers_out_of_range() {
    let cases = [
        ("--context", "3", "'--context <TOKENS>': 3 is not in 16..=4294967295"),
        ("--budget", "0", "'--budget <TOKENS>': 0 is not in 65..=65536"),
        ("--budget", "64", "'--budget <TOKENS>': 64 is not in 65..=65536"),
        ("--memory", "0", "'--memory <MIB>': 0 is not in 1..=1073741824"),
        ("--max-tokens", "0", "'--max-tokens <TOKENS>': 0 is not in 1..=4294967295"),
        ("--max-tokens", "-1", "'--max-tokens <TOKENS>': -1 is not in 1..=4294967295"),
        ("--top-k", "-1", "'--top-k <TOP_K>': -1 is not in 0..=4294967295"),
        ("--temperature", "warm", "'--temperature <TEMPERATURE>': invalid float literal"),
        ("--seed", "-1", "'--seed <SEED>': invalid digit found in string"),
    ];
    for (flag, value, message) in cases {
        generate(&[flag, value]).misunderstands(&format!("invalid value '{value}' for {message}"));
    }
    let message = "invalid value '0' for '--context <TOKENS>': 0 is not in 16..=4294967295";
    run(&["info", "--context", "0"]).misunderstands(message);
}

#[test]
fn names_that_are_none() {
    generate(&["--kv", "f8"]).misunderstands("invalid value 'f8' for '--kv <KV>'\n  [possible values: f16, f32, q8]");
    run(&["info", "--kv", "q4"])
        .misunderstands("invalid value 'q4' for '--kv <KV>'\n  [possible values: f16, f32, q8]");
    generate(&["--inputs", "q4"])
        .misunderstands("invalid value 'q4' for '--inputs <INPUTS>'\n  [possible values: f16, f32]");
    for flag in ["--stop <TEXT>", "--model <DIR|GGUF|OWNER/NAME>", "--device <NAME>"] {
        let name = flag.split_once(' ').unwrap().0;
        generate(&[&format!("{name}=")])
            .misunderstands(&format!("a value is required for '{flag}' but none was supplied"));
    }
}

#[test]
fn a_prompt_that_is_too_long() {
    let long = "Once upon a time there was a small dog who liked to play in the park with his friends.";
    run(&["generate", "--backend", "cpu", "--context", "16", long]).refuses(
        "the prompt has 20 tokens, and the context of 16 leaves no room for an answer; shorten it or raise --context",
    );
}

#[test]
fn a_context_that_is_too_long() {
    generate(&["--context", "4097"])
        .refuses("a context of 4097 tokens is longer than the model was made for: --context 4096 at most");
}

#[test]
fn a_context_that_does_not_fit() {
    generate(&["--memory", "20"]).refuses(
        "a context of 4096 tokens needs 6 MiB of cache, and 0 MiB are free; no context fits: use a smaller model, or \
         --backend cpu (weights and programs take 28 MiB; --memory and --budget change what is left)",
    );
    generate(&["--memory", "31"]).refuses(
        "a context of 4096 tokens needs 6 MiB of cache, and 3 MiB are free; a context of 2048 tokens fits: --context \
         2048 (weights and programs take 28 MiB; --memory and --budget change what is left)",
    );
    generate(&["--memory", "31", "--context", "2048", "-n", "1"]).succeeds();
}
