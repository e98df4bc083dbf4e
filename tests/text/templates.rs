//! Snippets and templates against transformers: everything that a template may use of Python and jinja2.

use std::collections::BTreeMap;

use bimetal::{
    Error, Message, Result,
    low_level::text::chat_template::{Options, Template},
};
use serde_json::Value;

use crate::support::fixtures;

fn fixture() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures::fixture("templates.json")).unwrap()).unwrap()
}

/// What differs from transformers; `None` if nothing does.
fn difference(found: &Result<String>, expected: &Value) -> Option<String> {
    let fits = match (found, expected["text"].as_str(), expected["raised"].as_str()) {
        (Ok(text), Some(wanted), _) => text == wanted,
        (Err(Error::Template(what)), None, Some(wanted)) => what.ends_with(&format!(": {wanted}")),
        (Err(Error::Template(_)), None, None) => true,
        _ => false,
    };
    let wanted = || ["text", "raised", "error"].into_iter().find_map(|key| expected.get(key));
    (!fits).then(|| format!("found {found:?}, expected {:?}", wanted()))
}

#[test]
fn snippets_render_as_in_transformers() {
    let fixture = fixture();
    let messages: Vec<Message> = serde_json::from_value(fixture["messages"].clone()).unwrap();
    let options = Options { generation_prompt: true, ..Options::default() };
    let (mut differences, mut count) = (Vec::new(), 0);
    for (group, snippets) in fixture["snippets"].as_object().unwrap() {
        for snippet in snippets.as_array().unwrap() {
            let source = snippet["source"].as_str().unwrap();
            let whole = format!("{}{source}", fixture["prefix"].as_str().unwrap());
            let found = Template::new(&whole).and_then(|template| template.render(&messages, &options));
            differences.extend(difference(&found, snippet).map(|what| format!("{group}: {source}\n    {what}")));
            count += 1;
        }
    }
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
    assert!(count > 1000, "{count}");
}

#[test]
fn families_of_templates_render_as_in_transformers() {
    let fixture = fixture();
    let tokens: BTreeMap<String, String> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
    let mut templates = BTreeMap::new();
    let mut differences = Vec::new();
    for chat in fixture["chats"].as_array().unwrap() {
        let name = chat["template"].as_str().unwrap();
        let template = templates.entry(name).or_insert_with(|| {
            let file = fixtures::fixture(&format!("templates/{name}.jinja"));
            Template::new(&std::fs::read_to_string(file).unwrap()).unwrap().with_tokens(&tokens)
        });
        let conversation = chat["conversation"].as_str().unwrap();
        let messages: Vec<Message> = serde_json::from_value(fixture["conversations"][conversation].clone()).unwrap();
        let has_tools = chat["tools"] == true;
        let tools = if has_tools { fixture["tools"].as_array().unwrap().clone() } else { Vec::new() };
        let options = Options {
            generation_prompt: chat["options"]["add_generation_prompt"] == true,
            thinking: chat["options"]["enable_thinking"].as_bool(),
            tools,
        };
        let what = difference(&template.render(&messages, &options), chat);
        differences.extend(what.map(|what| format!("{name}, {conversation}, tools {has_tools}: {what}")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(templates.len() > 6);
}
