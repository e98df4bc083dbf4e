//! `perplexity` and `compare`.

use serde_json::Value;

use crate::{
    run::{Outcome, built_in, checkpoint, pipe, run},
    support::{fixtures::fixture, scratch::Scratch},
};

fn excerpt() -> String {
    fixture("excerpt.txt").to_str().unwrap().to_string()
}

fn measure(command: &str, arguments: &[&str]) -> Outcome {
    run(&[&[command, "--backend", "cpu"], arguments].concat())
}

/// On the first ids of the excerpt.
fn excerpted(command: &str, arguments: &[&str]) -> Outcome {
    measure(command, &[&["--text", &excerpt(), "--ids", "129"], arguments].concat())
}

fn json(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.succeeds().out).unwrap()
}

#[test]
fn a_perplexity() {
    let told = excerpted("perplexity", &["--window", "64", "--kv", "f32"]).succeeds();
    let lines: Vec<_> = told.out.lines().collect();
    let [protocol, last] = lines[..] else { panic!("{}", told.out) };
    assert_eq!(protocol, format!("{}: 129 ids, 2 windows of up to 64 ids", excerpt()));
    assert!(last.starts_with("perplexity 23.711") && last.contains(", NLL 3.1659"), "{last}");
    assert!(last.contains(" ± 8.275") && last.contains(" ± 0.3490"), "{last}");
    assert!(last.contains(", 128 ids scored, ") && last.ends_with(" tok/s"), "{last}");
    assert_eq!(told.err.lines().count(), 1, "{}", told.err);
    let found = json(excerpted("perplexity", &["--window", "64", "--kv", "f32", "--json"]));
    assert!((found["perplexity"]["value"].as_f64().unwrap() / 23.711_14 - 1.0).abs() < 1e-4, "{found}");
    assert_eq!((&found["scored"], &found["computed"], &found["complete"]), (&128.into(), &128.into(), &true.into()));
    assert_eq!((&found["text"]["window"], &found["text"]["documents"]), (&64.into(), &Value::Null));
    let precision = (&found["precision"]["kv"], &found["precision"]["quant"], &found["precision"]["inputs"]);
    assert_eq!(precision, (&"f32".into(), &"none".into(), &"f32".into()));
}

#[test]
fn windows_that_slide_and_documents() {
    let sliding = excerpted("perplexity", &["-w", "64", "--stride", "32"]).succeeds();
    let said = "129 ids, 3 windows of up to 64 ids, each 32 after the one before; of a window only what follows those before \
                it is scored: its last 32 ids";
    assert!(
        sliding.out.replace('\n', " ").contains(said) && sliding.out.contains(" 128 ids scored"),
        "{}",
        sliding.out
    );
    let found = json(excerpted("perplexity", &["-w", "64", "--stride", "32", "--json"]));
    // Windows of 64 that overlap by 32: every id except the first is scored once.
    assert_eq!((&found["scored"], &found["computed"]), (&128.into(), &192.into()));
    let documents = excerpted("perplexity", &["--documents"]).succeeds();
    let said = "1 document between two <|endoftext|> each, in 1 window of up to 4,096 ids";
    assert!(
        documents.out.replace('\n', " ").contains(said) && documents.out.contains(" 129 ids scored"),
        "{}",
        documents.out
    );
}

#[test]
fn a_text_from_standard_input() {
    let text = std::fs::read_to_string(excerpt()).unwrap();
    let arguments = ["perplexity", "--backend", "cpu", "--ids", "129", "--json", "--text"];
    let mut piped = json(pipe(&[&arguments[..], &["-"]].concat(), &text));
    let mut read = json(run(&[&arguments[..], &[&excerpt()]].concat()));
    assert_eq!(piped["text"]["file"], "standard input");
    for found in [&mut piped, &mut read] {
        for changing in ["seconds", "tokens_per_second"] {
            found[changing] = Value::Null;
        }
        found["text"]["file"] = Value::Null;
    }
    assert_eq!(piped, read);
}

#[test]
fn a_byte_order_mark_is_not_scored() {
    let score = |text: &str| {
        json(pipe(&["perplexity", "--backend", "cpu", "--json", "--text", "-"], text))["nll"]["value"].clone()
    };
    assert_eq!(score("\u{feff}Once upon a time"), score("Once upon a time"));
}

#[test]
fn a_comparison() {
    let told = excerpted("compare", &["--against", "q4"]).succeeds();
    let lines: Vec<_> = told.out.lines().collect();
    assert_eq!(lines[1], "tiny-stories, the built-in model against q4");
    let named = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
    for name in ["perplexity  ", "perplexity against", "ratio", "KL divergence, mean", "same top-1"] {
        // The figure and its error end with their columns.
        assert_eq!(named(name).chars().count(), lines[3].chars().count(), "{}", told.out);
    }
    assert!(lines.last().unwrap().starts_with("128 ids scored, "), "{}", told.out);
    let found = json(excerpted("compare", &["--against", "q4", "--json"]));
    let figure = |name: &str, of: &str| found[name][of].as_f64().unwrap();
    assert!(
        (1e-3..0.1).contains(&figure("kl", "mean")) && (0.8..1.0).contains(&figure("same_top", "value")),
        "{found}"
    );
    let ratio = figure("against_perplexity", "value") / figure("perplexity", "value");
    assert!((figure("ratio", "value") - ratio).abs() < 1e-9, "{found}");
    assert!(figure("kl", "median") < figure("kl", "q99") && figure("kl", "q99") <= figure("kl", "largest"), "{found}");
}

#[test]
fn a_model_against_itself_and_against_what_was_written() {
    let none = json(excerpted("compare", &["--against", "none", "--json"]));
    assert_eq!(
        (&none["kl"]["largest"], &none["same_top"]["value"], &none["ratio"]["value"]),
        (&0.0.into(), &1.0.into(), &1.0.into())
    );
    // A written checkpoint gives the same as quantizing the original.
    let (original, out) = (checkpoint(), Scratch::empty());
    let (from, to) = (original.0.to_str().unwrap(), out.path("q4"));
    let to = to.to_str().unwrap();
    run(&["quantize", from, to, "--format", "q4"]).succeeds();
    // Its vocabulary has 512 ids, among them the tokenizer's ids for this text.
    let compared = |against: &str, more: &[&str]| {
        let arguments = ["compare", "--backend", "cpu", "-m", from, "--text", "-", "--json", "--against", against];
        json(pipe(&[&arguments[..], more].concat(), "a b c d e f g"))
    };
    let (format, written) = (compared("q4", &[]), compared(to, &[]));
    assert_eq!((&format["kl"], &format["same_top"]), (&written["kl"], &written["same_top"]));
    assert!(format["kl"]["mean"].as_f64().unwrap() > 0.0);
    assert_eq!(compared(to, &["--quant", "q4"])["kl"]["largest"], 0.0);
}

#[test]
fn what_cannot_be_compared() {
    let (other, text) = (checkpoint(), excerpt());
    let dir = other.0.to_str().unwrap();
    let against = |against: &str| measure("compare", &["--text", &text, "--against", against]);
    against(dir).refuses(&format!(
        "tiny-stories, the built-in model and --against {dir} cannot be compared: their vocabularies have 4096 and 512 ids; \
         give models of one family"
    ));
    against("q5")
        .refuses("--against q5 is neither a format (q8, q4 or none) nor a directory, nor OWNER/NAME on the hub");
    measure("compare", &["--text", &text])
        .misunderstands("the following required arguments were not provided:\n  --against <FORMAT|DIR|OWNER/NAME>");
    // The same number of ids, with other meanings.
    let scratch = checkpoint();
    let plain = String::from_utf8(built_in("tokenizer.json")).unwrap();
    scratch.write("tokenizer.json", plain.replace("\"<|endoftext|>\"", "\"<|end|>\""));
    let twisted = scratch.0.to_str().unwrap();
    pipe(&["compare", "--backend", "cpu", "-m", dir, "--against", twisted, "--text", "-"], "a<|endoftext|>b").refuses(
        &format!(
            "{dir} and --against {twisted} cannot be compared: their tokenizers make different ids of the text; give \
             models of one family"
        ),
    );
}

#[test]
fn texts_that_cannot_be_scored() {
    let out = Scratch::empty();
    let (nothing, latin) = (out.path("nothing.txt"), out.path("latin.txt"));
    std::fs::write(&nothing, "").unwrap();
    std::fs::write(&latin, b"caf\xe9").unwrap();
    for command in [&["perplexity"][..], &["compare", "--against", "q8"]] {
        let score = |text: &str, more: &[&str]| {
            pipe(&[command, &["--backend", "cpu", "--text", text], more].concat(), "<|endoftext|>")
        };
        let [nothing, latin] = [&nothing, &latin].map(|file| file.to_str().unwrap());
        score(nothing, &[]).refuses(&format!("{nothing}: it is empty; give a text to score"));
        score(latin, &[]).refuses(&format!("{latin}: byte 3 is not UTF-8, as a text has to be; convert it first"));
        score("no/such.txt", &[]).refuses("no/such.txt: No such file or directory (os error 2)");
        let few =
            "the text has 1 ids, and the first id of a window is not scored: at least 2 are needed, so give more text";
        score("-", &[]).refuses(&format!("standard input: {few}"));
        let none = "standard input: the text has no documents, only <|endoftext|>: give one with some";
        score("-", &["--documents"]).refuses(none);
        pipe(&[command, &["--backend", "cpu", "--text", "-"]].concat(), "")
            .refuses("standard input: it is empty; give a text to score");
    }
}

#[test]
fn windows_out_of_range() {
    for command in [&["perplexity"][..], &["compare", "--against", "q8"]] {
        let score = |more: &[&str]| run(&[command, &["--backend", "cpu", "--text", &excerpt()], more].concat());
        score(&["--window", "4097"])
            .refuses("--window 4097 is longer than the model was made for: --window 4096 at most");
        let gaps = |window| {
            format!("--stride 4000 would leave out ids between windows of {window}: --stride {window} at most")
        };
        score(&["--stride", "4000"]).refuses(&gaps(512));
        score(&["--stride", "4000", "--window", "64"]).refuses(&gaps(64));
        for (flag, value, message) in [
            (
                "--window",
                "1",
                "'--window <IDS>': expected a whole number from 2 up; the first id of a window is not scored",
            ),
            ("--stride", "0", "'--stride <IDS>': expected a whole number from 1 up"),
            ("--ids", "1", "'--ids <IDS>': expected a whole number from 2 up; the first id of a window is not scored"),
        ] {
            score(&[flag, value]).misunderstands(&format!("invalid value '{value}' for {message}"));
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_the_figures_so_far() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    let long = std::fs::read_to_string(excerpt()).unwrap().repeat(60);
    let out = Scratch::empty();
    out.write("long.txt", long);
    let text = out.path("long.txt");
    let mut child =
        crate::run::command(&["perplexity", "--backend", "cpu", "-w", "64", "--text", text.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    // The description of the text is printed before the first part is scored.
    said.find(|line| line.as_ref().unwrap().contains(" windows of ")).unwrap().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let rest: Vec<_> = said.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("interrupted: the figures so far follow; Ctrl-C again ends at once\n"), "{err}");
    assert!(err.lines().last().unwrap().starts_with("error: interrupted: the figures are of "), "{err}");
    assert!(rest.len() == 1 && rest[0].starts_with("perplexity ") && rest[0].contains(" ids scored, "), "{rest:?}");
}
