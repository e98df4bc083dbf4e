//! What users of other programs type.

use crate::run::run;

fn continued(flags: &[&str]) -> (String, String) {
    let outcome = run(&[&["generate", "--backend", "cpu", "--temp", "0", "Once"], flags].concat()).succeeds();
    (outcome.out, outcome.err)
}

#[test]
fn flags_have_the_names_of_other_programs_too() {
    let (want, _) = continued(&["--max-tokens", "4"]);
    for flag in ["--n-predict", "--max-new-tokens", "--num-predict", "-n"] {
        assert_eq!(continued(&[flag, "4"]).0, want, "{flag}");
    }
    let (out, err) = continued(&["-n", "4", "--ctx-size", "64", "-s", "-1", "-ngl", "99"]);
    assert_eq!(out, want);
    assert!(err.contains("context 64") && err.starts_with("-ngl: not needed, "), "{err}");
    let prompt = run(&["generate", "--backend", "cpu", "-t", "0", "-n", "4", "-p", "Once"]).succeeds();
    assert_eq!(prompt.out, want);
    // No limit but the context.
    let (_, err) = continued(&["-n", "-1", "--context", "16"]);
    assert!(err.contains("; ended by the context of 16 tokens, seed "), "{err}");
}

#[test]
fn run_is_chat_and_takes_a_model() {
    let outcome = run(&["run", "--backend", "cpu", "-n", "2", "hello"]).succeeds();
    assert!(outcome.err.contains("1 answer: "), "{}", outcome.err);
    for model in ["tests/fixtures/no/such", "tests/fixtures", "story:8m"] {
        let outcome = run(&["run", model, "hello"]);
        assert!(outcome.code == Some(1) && outcome.err.starts_with(&format!("error: {model}: ")), "{}", outcome.err);
    }
}

#[test]
fn an_unknown_flag_is_answered_with_the_right_one() {
    let thinks = "`bimetal chat` has --think, --no-think and --hide-thinking";
    let cases: [(&[&str], _); 13] = [
        (&["generate", "--threads", "4"], "the cpu backend takes all cores by itself"),
        (&["chat", "--cache-type-k", "q8_0"], "--kv sets the type of keys and values"),
        (&["bench", "-s", "2"], "-s is the seed elsewhere; here it is -S or --sequences"),
        (&["perplexity", "-t", "a.txt"], "-t is the temperature elsewhere; here it is -f or --text"),
        (&["bench", "-ctk", "q8_0"], "--kv sets the type of keys and values"),
        (&["info", "-fa", "on"], "attention always works in tiles; there is nothing to turn on"),
        (&["generate", "-sys", "x"], "`bimetal chat --system TEXT` gives the model a system message"),
        (&["generate", "--no_mmap"], "the weights are always copied to the device; leave it out"),
        (&["generate", "--think"], thinks),
        (&["chat", "--json"], "`bimetal generate --chat --json` writes an answer as JSON"),
        (&["chat", "-f", "a"], "`bimetal generate --chat --file FILE` answers the text of a file"),
        (&["generate", "-r", "x"], "--stop TEXT ends the text there"),
        (&["generate", "-e"], "the prompt is taken as it is; printf in a shell makes a prompt of several lines"),
    ];
    for (arguments, advice) in cases {
        let outcome = run(arguments);
        assert!(outcome.code == Some(2) && outcome.err.contains(&format!("tip: {advice}\n")), "{}", outcome.err);
    }
}

#[test]
fn an_unknown_flag_gets_the_short_usage_and_no_tip_that_does_not_fit() {
    let outcome = run(&["generate", "-n", "2", "--max-tokens", "3", "--verbose"]);
    assert!(outcome.err.contains("\nUsage: bimetal generate [OPTIONS] [PROMPT]\n"), "{}", outcome.err);
    let outcome = run(&["generate", "--xyzzy"]);
    assert!(outcome.code == Some(2) && !outcome.err.contains("tip:"), "{}", outcome.err);
    let outcome = run(&["generate", "--xyzzy is a word"]);
    assert!(
        outcome.err.contains("tip: to pass '--xyzzy is a word' as a value, use '-- --xyzzy is a word'"),
        "{}",
        outcome.err
    );
}

#[test]
fn underscores_in_names_are_hyphens() {
    let (want, _) = continued(&["-n", "4"]);
    let (out, err) = continued(&["--max_new_tokens=4", "--ctx_size", "64", "--repeat_penalty", "1", "--top_k", "0"]);
    assert!(out == want && err.contains("context 64"), "{out}{err}");
}

#[test]
fn without_a_command_there_is_help_with_examples() {
    let outcome = run(&[]).succeeds();
    assert_eq!(outcome.out.matches("\n  bimetal ").count(), 3, "{}", outcome.out);
    let page = run(&["man"]).succeeds().out;
    assert!(page.contains(".TH bimetal 1") && page.contains("bimetal\\-chat"), "{page}");
}
