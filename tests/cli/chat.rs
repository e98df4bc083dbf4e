//! `chat`, with piped turns.

use crate::{
    run::{Outcome, built_in, checkpoint, pipe},
    support::scratch::Scratch,
};

fn chat(arguments: &[&str], turns: &str) -> Outcome {
    let fixed = ["chat", "--backend", "cpu", "--temperature", "0", "-n", "8"];
    pipe(&[fixed.as_slice(), arguments].concat(), turns)
}

/// The closing line of each answer.
fn closings(outcome: &Outcome) -> Vec<&str> {
    outcome.err.lines().filter(|line| line.contains("prompt tokens")).collect()
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
    assert_eq!(help, ["/help", "/clear", "/exit", "Ctrl-C"]);
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
    scratch.pipe(&["chat"], "a\n").refuses("chat template: line 2: Only questions, please.");
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
        let outcome = scratch.pipe(&[&["chat"], flags].concat(), "a\n");
        outcome.refuses(&format!("chat template: line 1: thinking is {want}"));
    }
}

/// The official template: its answers begin with an empty thought unless thinking is requested.
#[test]
fn the_official_template_does_not_think_by_itself() {
    let scratch = Scratch::empty();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"] {
        scratch.write(name, built_in(name));
    }
    let template = crate::support::fixtures::fixture("chat_template.jinja");
    scratch.write("chat_template.jinja", std::fs::read(template).unwrap());
    let tokens = |flags: &[&str]| -> usize {
        let outcome = scratch.pipe(&[&["chat", "-n", "4"], flags].concat(), "Hi\n").succeeds();
        closings(&outcome)[0].split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(tokens(&[]), tokens(&["--no-think"]));
    assert!(tokens(&["--think"]) < tokens(&[]));
}

#[test]
fn a_conversation_that_outgrows_the_context() {
    let outcome = chat(&["--context", "64"], &"Tell me a story about a dog and a cat.\n".repeat(9));
    assert_eq!(outcome.code, Some(1));
    let last = outcome.err.lines().last().unwrap();
    assert!(last.starts_with("error: the prompt has "), "{last}");
    let end = " tokens, and the context of 64 leaves no room for an answer; shorten it or raise --context";
    assert!(last.ends_with(end), "{last}");
    assert!(outcome.out.lines().count() > 1, "{}", outcome.out);
}
