//! Chat templates against jinja2, and malicious templates.

use std::time::{Duration, Instant};

use bimetal::{
    Error, Message,
    low_level::text::chat_template::{Options, Template},
};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::fixtures;

fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixtures::fixture(name)).unwrap()
}

fn messages(json: &Value) -> Vec<Message> {
    serde_json::from_value(json.clone()).unwrap()
}

fn options(json: &Value) -> Options {
    Options {
        generation_prompt: json["add_generation_prompt"].as_bool().unwrap(),
        thinking: json.get("enable_thinking").and_then(Value::as_bool),
        tools: json.get("tools").and_then(Value::as_array).cloned().unwrap_or_default(),
    }
}

fn error_of(source: &str) -> String {
    let rendered = Template::new(source).and_then(|template| template.render(&[user("hi")], &Options::default()));
    let Err(Error::Template(what)) = rendered else { panic!("{source:.80}: {rendered:.200?}") };
    what
}

fn user(content: &str) -> Message {
    Message::new("user", content)
}

#[test]
fn official_template_renders_as_jinja2_does() {
    let template = Template::new(&fixture("chat_template.jinja")).unwrap();
    let fixture: Value = serde_json::from_str(&fixture("chat_cases.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let rendered = template.render(&messages(&case["messages"]), &options(&case["options"]));
        match (rendered, case["text"].as_str()) {
            (Ok(text), Some(expected)) => assert_eq!(text, expected, "{}", case["name"]),
            (Err(Error::Template(what)), None) => {
                let expected = case["error"].as_str().unwrap();
                assert!(what.ends_with(&format!(": {expected}")), "{}: {what}", case["name"]);
            }
            (rendered, expected) => panic!("{}: {rendered:?}, expected {expected:?}", case["name"]),
        }
    }
}

#[test]
fn snippets_render_as_jinja2_does() {
    let fixture: Value = serde_json::from_str(&fixture("chat_cases.json")).unwrap();
    for snippet in fixture["snippets"].as_array().unwrap() {
        let source = snippet["source"].as_str().unwrap();
        let options = Options { generation_prompt: true, ..Options::default() };
        let text = Template::new(source).unwrap().render(&messages(&snippet["messages"]), &options).unwrap();
        assert_eq!(text, snippet["text"].as_str().unwrap(), "{source}");
    }
}

#[test]
fn demo_template_renders() {
    let folder = format!("{}/models/tiny-stories", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(format!("{folder}/chat_template.jinja")).unwrap();
    let config = std::fs::read_to_string(format!("{folder}/tokenizer_config.json")).unwrap();
    let reference = std::fs::read_to_string(format!("{folder}/reference.json")).unwrap();
    let [config, reference] = [config, reference].map(|json| serde_json::from_str::<Value>(&json).unwrap());
    let options = Options { generation_prompt: true, ..Options::default() };
    for template in [Template::new(&source).unwrap(), Template::from_tokenizer_config(&config).unwrap().unwrap()] {
        let text = template.render(&[user(" Tell me a story about a cat. ")], &options).unwrap();
        assert_eq!(text, reference["cases"][2]["prompt"].as_str().unwrap());
    }
}

#[test]
fn tokenizer_config_gives_its_default_template() {
    let list = serde_json::json!({"chat_template": [
        {"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]});
    let template = Template::from_tokenizer_config(&list).unwrap().unwrap();
    assert_eq!(template.render(&[], &Options::default()).unwrap(), "plain");
    let options = Options { tools: vec![serde_json::json!({"name": "weather"})], ..Options::default() };
    assert_eq!(template.render(&[], &options).unwrap(), "tools");
    assert!(Template::from_tokenizer_config(&serde_json::json!({})).unwrap().is_none());
    assert!(Template::from_tokenizer_config(&serde_json::json!({"chat_template": null})).unwrap().is_none());
    for bad in [serde_json::json!(3), serde_json::json!([]), serde_json::json!([{"name": "default"}])] {
        assert!(Template::from_tokenizer_config(&serde_json::json!({"chat_template": bad})).is_err());
    }
}

#[test]
fn generation_tags_do_nothing() {
    let source = "{% for m in messages %}\n  {%- generation -%}\n {{ m.content }}\n{% endgeneration %}\n{% endfor %}!";
    let plain = source.replace("endgeneration", "endif").replace("generation", "if true");
    let [text, expected] = [source, &plain]
        .map(|source| Template::new(source).unwrap().render(&[user("hi")], &Options::default()).unwrap());
    assert_eq!(text, expected);
    assert_eq!(text, "hi\n!");
}

#[test]
fn special_tokens_and_the_date_are_there() {
    let source = "{{ bos_token }}{% macro m() %}{{ 'x' + eos_token }}{% endmacro %}{{ m() }}{{ pad_token }}|\
                  {{ strftime_now('%Y') | int > 2024 }}";
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, token)| (name.into(), token.into()));
    let template = Template::new(source).unwrap().with_tokens(&tokens.into());
    assert_eq!(template.render(&[], &Options::default()).unwrap(), "<s>x</s>|True");
}

#[test]
fn bad_templates_say_where_and_why() {
    let cases = [
        ("a\n{% if %}", "line 2: "),
        ("a\n{% for x in y %}", "line 2: "),
        ("{{ messages | nonsense }}", "line 1: unknown filter: "),
        ("\n\n{{ raise_exception('No <user> query.') }}", "line 3: the template refuses: No <user> query."),
        (
            "{% macro m() %}\n{{ raise_exception('deep') }}{% endmacro %}\n{{ m() }}",
            "line 2: the template refuses: deep",
        ),
        ("{{ nothing.at.all }}", "line 1: undefined value"),
        ("{{ nothing() }}", "line 1: unknown function: "),
        ("{{ nothing | tojson }}", "line 1: could not serialize to value: tojson: the value is undefined"),
        ("{{ 1 | tojson(sorted=true) }}", "line 1: tojson has no argument \"sorted\""),
        ("{{ 'a' | center('b') }}", "line 1: center: the argument width must be a whole number, found string"),
        ("\n{{ '\\N{BULLET}' }}", "line 2: \\N{…} in a literal is not supported"),
        ("{{ 'a\\\nb' }}{{ raise_exception('x') }}", "line 2: the template refuses: x"),
        ("{% macro m() %}\n{{ 5 % 0 }}{% endmacro %}{{ m() }}", "line 2: modulo by zero"),
        ("{{ strftime_now('%Q') }}", "line 1: strftime_now: %Q is not supported"),
        ("{% include 'secrets' %}", "line 1: template not found: "),
        ("{% include 'chat_template' %}", "line 1: "),
        ("{{ [1].append(2) }}", "line 1: the method append would change a value"),
    ];
    for (source, expected) in cases {
        let what = error_of(source);
        assert!(what.starts_with(expected), "{source}: {what}");
    }
}

/// Each would run forever, use all memory or overflow the stack; a debug build on a thread of 2 MiB is the hard case.
#[test]
fn hostile_templates_end_soon() {
    let thousand = "{% for a in range(1000) %}";
    let cases = [
        // Time.
        format!("{}{}", thousand.repeat(6), "{% endfor %}".repeat(6)),
        "{% set n = namespace(x=[1]) %}{% for a in n.x %}{% for b in range(90000) %}{% for c in range(90000) %}\
         {% endfor %}{% endfor %}{% endfor %}"
            .to_owned(),
        "{% for i in range(100000) %}{{ messages | tojson | length }}{% endfor %}".to_owned(),
        // Output and memory.
        format!("{thousand}{thousand}{{{{ 'x' * 10000 }}}}{{% endfor %}}{{% endfor %}}"),
        "{{ 'x' * 1000000000000 }}".to_owned(),
        "{{ [1] * 1000000000000 }}".to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ 'x' | indent(1000000000) | length }}{{ 'x\ny' | indent(1000000000) }}".to_owned(),
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}".to_owned(),
        "{{ ('x' * 100000).replace('x', 'y' * 100000) }}".to_owned(),
        "{{ 'x'.center(1000000000000) }}{{ 'x' | center(1000000000000) }}".to_owned(),
        "{{ 'x'.zfill(1000000000000) }}".to_owned(),
        "{{ '\\t'.expandtabs(1000000000000) }}".to_owned(),
        "{{ ('x' * 100000).join(range(100000) | map('string') | list) }}".to_owned(),
        "{{ range(100000) | map('string') | join('x' * 100000) }}".to_owned(),
        "{{ '%1000000000d' % 1 }}{{ '%*d' % (1000000000, 1) }}".to_owned(),
        "{{ '{:1000000000}'.format(1) }}{{ '{:{}}'.format(1, 1000000000) }}".to_owned(),
        "{{ 'a'.translate({97: 'x' * 1000000}) * 1000 }}{{ ('a' * 100000).translate({97: 'x' * 1000000}) }}".to_owned(),
        "{{ [1] | tojson(indent=1000000000) }}".to_owned(),
        "{{ [1] | tojson(separators=('x' * 90000000, ':')) }}{{ range(9) | list | tojson(separators=('x' * 90000000, ':')) }}"
            .to_owned(),
        doubling("n.x ~ n.x", "n.x"),
        doubling("[n.x, n.x]", "n.x"),
        doubling("[n.x, n.x]", "n.x | tojson"),
        doubling("[n.x, n.x]", "n.x | tojson(indent=60)"),
        doubling("[n.x, n.x]", "n.x | string | length"),
        // Recursion.
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% macro m(x) %}{{ x(x) }}{% endmacro %}{{ m(m) }}".to_owned(),
        format!("{{{{ {}1{} }}}}", "(".repeat(60_000), ")".repeat(60_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(60_000), "]".repeat(60_000)),
        "{% if true %}".repeat(9_000),
        " ".repeat(1_000_000),
    ];
    for source in cases {
        let begin = Instant::now();
        let rendered = Template::new(&source).and_then(|template| template.render(&[user("hi")], &Options::default()));
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{source:.80} took {took:?}");
        assert!(matches!(rendered, Err(Error::Template(_))), "{source:.80}: {rendered:.80?}");
    }
}

fn doubling(step: &str, show: &str) -> String {
    format!(
        "{{% set n = namespace(x='x') %}}{{% for i in range(60) %}}{{% set n.x = {step} %}}{{% endfor %}}{{{{ {show} }}}}"
    )
}

/// A value nested as deeply as the fuel allows is built, shown and dropped within the stack.
#[test]
fn deep_values_do_no_harm() {
    let shows =
        ["1", "n.x", "n.x ~ ''", "n.x | tojson", "n.x == [n.x]", "n.x | string", "[n.x, [n.x]] | unique | list"];
    for (step, show) in ["[n.x]", "{'a': n.x}"].iter().flat_map(|step| shows.map(|show| (step, show))) {
        let source = format!(
            "{{% set n = namespace(x=1) %}}{{% for a in range(80) %}}{{% for b in range(1000) %}}{{% set n.x = {step} %}}\
             {{% endfor %}}{{% endfor %}}{{{{ {show} }}}}"
        );
        let rendered = Template::new(&source).and_then(|template| template.render(&[], &Options::default()));
        assert!(rendered.as_ref().is_ok_and(|text| text == "1") || show != "1", "{rendered:.200?}");
    }
    for source in [format!("{{{{ {}1 }}}}", "-".repeat(130_000)), format!("{{{{ {}true }}}}", "not ".repeat(32_000))] {
        assert!(Template::new(&source).and_then(|template| template.render(&[], &Options::default())).is_ok());
    }
    // The cheapest nesting, as deep as the fuel allows.
    for show in shows {
        let source =
            format!("{{% set x = 1 %}}{}{{{{ {} }}}}", "{% set x = [x] %}".repeat(7_000), show.replace("n.", ""));
        let _ = Template::new(&source).and_then(|template| template.render(&[], &Options::default()));
    }
}

#[test]
fn long_conversations_fit_the_budget() {
    let template = Template::new(&fixture("chat_template.jinja")).unwrap();
    let mut turns: Vec<Message> = Vec::new();
    for turn in 0..1500 {
        turns.push(user(&format!("question {turn}")));
        turns.push(Message::new("assistant", "<think>\nhm\n</think>\n\nanswer"));
    }
    turns.push(user(&"long ".repeat(500_000)));
    let text = template.render(&turns, &Options::default()).unwrap();
    assert!(text.len() > 2_500_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_template_text_is_handled(parts in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        let source: String = parts.concat();
        let begin = Instant::now();
        if let Ok(template) = Template::new(&source) {
            let _ = template.render(&[user("hi")], &Options::default());
        }
        prop_assert!(begin.elapsed() < Duration::from_secs(20), "{source}");
    }

    #[test]
    fn any_text_is_handled(source in "(\\PC|\\{\\{|\\{%|%\\}|\\}\\}|\n){0,60}") {
        if let Ok(template) = Template::new(&source) {
            let _ = template.render(&[user("hi")], &Options::default());
        }
    }
}

const WORDS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{%-",
    "-%}",
    "{#",
    "#}",
    " for ",
    " x ",
    " in ",
    "messages",
    " endfor ",
    " if ",
    " endif ",
    " set ",
    "=",
    "namespace(a=1)",
    "range(99999)",
    "|",
    "tojson",
    "length",
    "[",
    "]",
    "(",
    ")",
    "::-1",
    ".content",
    "'s'",
    " ~ ",
    " * ",
    "1e9",
    "999999999",
    " macro m() ",
    "m()",
    " endmacro ",
    "generation",
    "endgeneration",
    "\n",
    "ü",
    "\\",
    " not ",
    " is defined ",
    "join",
    "batch(3)",
    "slice(9)",
    "{% for x in messages %}",
    "{% endfor %}",
    "{{ x }}",
];
