//! `chat`, with piped turns.

use crate::{
    run::{Outcome, built_in, checkpoint, pipe},
    support::scratch::Scratch,
};

fn chat(arguments: &[&str], turns: &str) -> Outcome {
    let fixed = ["chat", "--backend", "cpu", "--temperature", "0", "-n", "8", "--stats"];
    pipe(&[fixed.as_slice(), arguments].concat(), turns)
}

/// The closing line of each answer.
fn closings(outcome: &Outcome) -> Vec<&str> {
    outcome.err.lines().filter(|line| line.contains("first token")).collect()
}

#[test]
fn turns_go_on_from_each_other() {
    let outcome = chat(&[], "Tell me a story.\n\n  And then?  \n").succeeds();
    assert_eq!(outcome.out.lines().count(), 2, "{}", outcome.out);
    let closings = closings(&outcome);
    assert!(closings[0].contains("prompt tokens, prefill"), "{}", outcome.err);
    // Everything up to the second message, except the last token, which was sampled but not yet computed.
    let numbers: Vec<_> = closings[1].split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()).collect();
    let (prompt, reused): (usize, usize) = (numbers[0].parse().unwrap(), numbers[1].parse().unwrap());
    assert!(closings[1].contains(" reused), prefill") && reused > 15 && prompt > reused, "{}", closings[1]);
}

#[test]
fn a_conversation_that_begins_anew() {
    let outcome = chat(&[], "Tell me a story.\n/clear\nTell me a story.\n/exit\nNobody hears this.\n").succeeds();
    let answers: Vec<_> = outcome.out.lines().collect();
    assert_eq!((answers.len(), answers[0]), (2, answers[1]));
    assert!(!closings(&outcome)[1].contains("reused"), "{}", outcome.err);
}

#[test]
fn help() {
    let outcome = chat(&[], "/help\n").succeeds();
    assert_eq!(outcome.out, "");
    let help: Vec<_> = outcome.err.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    let commands =
        ["/help", "/clear", "/exit", "/system", "/set", "/show", "/save", "/load", "/retry", "/undo", "/stats"];
    assert_eq!(help[..commands.len()], commands);
}

#[test]
fn a_system_message_is_part_of_the_prompt() {
    let tokens = |arguments: &[&str]| -> usize {
        let outcome = chat(arguments, "Hi\n").succeeds();
        closings(&outcome)[0].split(' ').next().unwrap().parse().unwrap()
    };
    assert!(tokens(&["--system", "You are a kind old dog."]) > tokens(&[]) + 6);
}

#[test]
fn nothing_said() {
    let message = "standard input ended before anything was said: give one message a line, or a terminal";
    chat(&[], "").refuses(message);
    chat(&[], "\n \n").refuses(message);
}

/// A checkpoint with this template.
fn with_template(template: &str) -> Scratch {
    let scratch = checkpoint();
    scratch.write("chat_template.jinja", template);
    scratch
}

#[test]
fn a_template_that_does_not_compile() {
    let scratch = with_template("{{ messages[0].content }}\n{% for x in %}");
    for command in ["chat", "generate"] {
        scratch
            .pipe(&[command], "a\n")
            .refuses("chat template: DIR/chat_template.jinja: line 2: syntax error: unexpected end of block");
    }
    let scratch = checkpoint();
    scratch.write("tokenizer_config.json", "{\"chat_template\": 7}");
    scratch.pipe(&["chat"], "a\n").refuses(
        "chat template: DIR/tokenizer_config.json: chat_template of tokenizer_config.json is neither a string nor a list \
         with a default",
    );
}

#[test]
fn a_template_that_refuses() {
    let scratch = with_template("\n{{ raise_exception('Only questions, please.') }}");
    let outcome = scratch.pipe(&["chat"], "a\n/nosuch\nb\n");
    // The lines after it are carried out all the same.
    assert_eq!(
        outcome.err.matches("error: chat template: line 2: the template refuses: Only questions, please.\n").count(),
        2
    );
    assert!(outcome.err.contains("error: no command /nosuch; "), "{}", outcome.err);
    assert!(outcome.err.ends_with("error: 3 lines of standard input refused, as told above\n"), "{}", outcome.err);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""));
    scratch.pipe(&["chat", "a"], "").refuses("chat template: line 2: the template refuses: Only questions, please.");
}

#[test]
fn what_a_template_leaves_out_is_told() {
    let outcome = with_template("a").pipe(&["chat", "-n", "1"], "b\n").succeeds();
    let warning = "warning: the chat template leaves the question out, or changes its text: the model may not see it\n";
    assert!(outcome.err.contains(warning), "{}", outcome.err);
    let empty = with_template("{% if false %}x{% endif %}").pipe(&["chat", "a"], "");
    empty.refuses("chat template: it makes an empty prompt of the conversation: give the model another");
}

#[test]
fn stop_ids_that_end_nothing_are_told() {
    let scratch = checkpoint();
    scratch.write("generation_config.json", r#"{"eos_token_id": 99999}"#);
    let err = scratch.generate().succeeds().err;
    assert!(
        err.contains("generation_config.json: eos_token_id 99999 is no token of the vocabulary, and ends"),
        "{err}"
    );
}

#[test]
fn no_template() {
    let message = "chat template: the checkpoint has none; use `generate`, or add a chat_template.jinja";
    checkpoint().pipe(&["chat"], "a\n").refuses(message);
}

#[test]
fn thinking_is_the_templates_choice_unless_asked_for() {
    let state = "enable_thinking if enable_thinking is defined else 'open'";
    let scratch = with_template(&format!("{{{{ raise_exception('thinking is ' ~ ({state})) }}}}"));
    let cases: [(&[&str], _); 5] = [
        (&[], "open"),
        (&["--think"], "True"),
        (&["--no-think"], "False"),
        (&["--think", "--no-think"], "False"),
        (&["--no-think", "--think"], "True"),
    ];
    for (flags, want) in cases {
        let outcome = scratch.pipe(&[&["chat", "a"], flags].concat(), "");
        outcome.refuses(&format!("chat template: line 1: the template refuses: thinking is {want}"));
    }
}

/// The built-in model with this template.
fn stories_with_template(template: &str) -> Scratch {
    let scratch = Scratch::empty();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"] {
        scratch.write(name, built_in(name));
    }
    scratch.write("chat_template.jinja", template);
    scratch
}

/// The official template: its answers begin with an empty thought unless thinking is requested.
#[test]
fn the_official_template_does_not_think_by_itself() {
    let template = std::fs::read_to_string(crate::support::fixtures::fixture("chat_template.jinja")).unwrap();
    let scratch = stories_with_template(&template);
    let tokens = |flags: &[&str]| -> usize {
        let outcome = scratch.pipe(&[&["chat", "-n", "4", "--stats"], flags].concat(), "Hi\n").succeeds();
        closings(&outcome)[0].split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(tokens(&[]), tokens(&["--no-think"]));
    assert!(tokens(&["--think"]) < tokens(&[]));
}

#[test]
fn a_context_that_is_full_drops_the_oldest_turns_or_refuses_more() {
    let question = "Tell me a story about a dog and a cat.\n";
    let outcome = chat(&["--context", "64"], &question.repeat(5)).succeeds();
    assert_eq!(closings(&outcome).len(), 5, "{}", outcome.err);
    let said = "the context of 64 tokens is full: the oldest question and its answer are dropped\n";
    assert!(outcome.err.contains(said), "{}", outcome.err);
    let short = format!("Hi\nHi\n{}\n", "dog ".repeat(28));
    let outcome = chat(&["--context", "64"], &short).succeeds();
    let said = "the context of 64 tokens is full: the oldest 2 questions and their answers are dropped\n";
    assert!(outcome.err.contains(said), "{}", outcome.err);
    let outcome = chat(&["--context", "64", "--context-full", "stop"], &(question.repeat(5) + "/clear\n" + question));
    let full = "error: the context of 64 tokens is full, and nothing more can be asked; /clear";
    let refused = outcome.err.matches(full).count();
    assert!(refused > 1, "{}", outcome.err);
    // What was refused is no answer; the lines after it are carried out all the same.
    assert_eq!((outcome.code, outcome.out.lines().count()), (Some(1), 6 - refused), "{}", outcome.err);
    assert!(outcome.err.ends_with(&format!("error: {refused} lines of standard input refused, as told above\n")));
    // An answer that the context cuts off says so.
    let outcome = pipe(&["chat", "--backend", "cpu", "-t", "0", "--context", "32"], question).succeeds();
    assert!(outcome.err.contains("the context of 32 tokens is full, which ended the answer; "), "{}", outcome.err);
    // A message that is longer than the context alone.
    let outcome = chat(&["--context", "32"], &format!("{question}{}\nHi\n", "cat ".repeat(64)));
    assert_eq!((outcome.code, closings(&outcome).len()), (Some(1), 2), "{}", outcome.err);
    let last = outcome.err.lines().find(|line| line.starts_with("error: ")).unwrap();
    let end = " tokens, and the context of 32 leaves no room for an answer; shorten it or raise --context";
    assert!(last.starts_with("error: the prompt has ") && last.ends_with(end), "{last}");
}

#[test]
fn lines_that_are_no_commands_and_lines_that_are_no_text() {
    let outcome = chat(&[], "/foo\n/clear now\n//foo\nHi\n/set warmth 1\n");
    assert_eq!((outcome.code, outcome.out.lines().count()), (Some(1), 2), "{}", outcome.err);
    for told in [
        "error: no command /foo; /help lists them",
        "error: /clear takes nothing after it, found \"now\"\n",
        "error: no setting warmth; /set lists them\n",
        "error: 3 lines of standard input refused, as told above\n",
    ] {
        assert!(outcome.err.contains(told), "{}", outcome.err);
    }
    // The second slash begins the message.
    let tokens = |said| closings(&chat(&[], said).succeeds())[0].split(' ').next().unwrap().to_owned();
    assert_eq!(tokens("//foo\n"), tokens("\"\"\"/foo\"\"\"\n"));
    let outcome = crate::run::shell(
        r#"printf 'Hi\ncaf\351\nHi\n' | exec "$@""#,
        &["chat", "--backend", "cpu", "-t", "0", "-n", "2"],
    );
    assert_eq!((outcome.code, outcome.out.lines().count()), (Some(1), 2), "{}", outcome.err);
    assert!(outcome.err.contains("error: line 2 of standard input is not UTF-8 and was not read;"), "{}", outcome.err);
}

#[test]
fn messages_of_several_lines() {
    let outcome = chat(&[], "\"\"\"\nOne.\n\nTwo.\n\"\"\"\nOne.\\\nTwo.\n\u{feff}").succeeds();
    assert_eq!(closings(&outcome).len(), 3, "{}", outcome.err);
    let whole = chat(&[], "\"\"\"Tell me\na story.\"\"\"\n").succeeds().out;
    assert_eq!(whole, chat(&[], "Tell me\\\na story.\n").succeeds().out);
}

#[test]
fn answers_are_taken_back_and_asked_for_again() {
    let outcome = chat(&[], "Tell me a story.\nAnd then?\n/undo\nAnd then?\n/retry\n/undo\n/undo\n/undo\n");
    let answers: Vec<_> = outcome.out.lines().collect();
    assert_eq!((answers.len(), answers[1], answers[1]), (4, answers[2], answers[3]));
    assert_eq!(outcome.err.matches("taken back: ").count(), 3, "{}", outcome.err);
    assert!(outcome.err.contains("\nerror: nothing was asked yet\n"), "{}", outcome.err);
}

#[test]
fn a_conversation_in_a_file_goes_on() {
    let directory = Scratch::empty();
    let (file, other) = (directory.path("talk.json"), directory.path("other.txt"));
    directory.write("other.txt", "mine");
    let (save, load) = (format!("/save {}\n", file.display()), format!("/load {}\n", file.display()));
    let both = chat(&[], &format!("/system Be kind.\nTell me a story.\n{save}And then?\n")).succeeds();
    let later = chat(&[], &format!("{load}And then?\n")).succeeds();
    assert_eq!(both.out.lines().last(), later.out.lines().last());
    let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let roles: Vec<_> = saved["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    // Only conversations are overwritten, and only conversations are loaded.
    chat(&[], &save).succeeds();
    let refused = chat(&[], &format!("/save {}\n", other.display()));
    assert!(refused.err.contains("the file is there and holds no conversation; give another name"), "{}", refused.err);
    assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    let refused = chat(&[], &format!("/load {}\n/undo\nTell me a story.\n", other.display()));
    // The lines after it are carried out all the same.
    assert!(refused.err.contains("nothing was asked yet") && refused.out.starts_with("Once"), "{}", refused.err);
    assert!(refused.err.ends_with("2 lines of standard input refused, as told above\n"), "{}", refused.err);
    assert!(refused.code == Some(1) && refused.err.contains("other.txt: not JSON: "), "{}", refused.err);
}

#[test]
fn settings_and_what_is_shown() {
    let outcome =
        chat(&["-s", "7"], "/set\n/set temperature 0.5\n/set temperature\n/system Be kind.\n/show\n").succeeds();
    for told in ["temperature        0\n", "seed               7\n", "temperature        0.5\n", "system   Be kind.\n"]
    {
        assert!(outcome.err.contains(told), "{told:?} in {}", outcome.err);
    }
    // Off, then on again with the figures of the last answer.
    let outcome = chat(&[], "/stats\nHi\n/stats\nHi\n").succeeds();
    assert_eq!(closings(&outcome).len(), 2, "{}", outcome.err);
}

#[test]
fn thoughts_are_dimmed_or_left_out() {
    let scratch = stories_with_template("{{ messages[-1].content }}<think>\n");
    let said = |flags: &[&str]| scratch.pipe(&[&["chat", "-t", "0", "-n", "6"], flags].concat(), "a\n").succeeds();
    let plain = said(&[]).out;
    let dim = said(&["--color", "always"]).out;
    assert!(dim.starts_with("\x1b[2m") && dim.replace("\x1b[2m", "").replace("\x1b[0m", "") == plain, "{dim:?}");
    assert_eq!(said(&["--hide-thinking"]).out, "\n");
    let outcome =
        stories_with_template("{{ messages[-1].content }}").pipe(&["chat", "-n", "2", "--think"], "a\n").succeeds();
    let warning = "warning: the model's template has no thinking, so that --think changes nothing\n";
    assert!(outcome.err.contains(warning), "{}", outcome.err);
}
